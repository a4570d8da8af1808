"""NaN is never a setting, and a bad command line ends in one line of our own words."""

import random

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mim.encoder.vit import ViT
from mim.launch.check import check
from mim.launch.errors import one_line
from mim.launch.resolvers import register_resolvers
from mim.launch.top import check_top
from mim.pool.abmilp import AbMILP
from mim.task.classify import ready
from tests.conftest import CONFIGS

JUDGE = "python eval.py checkpoint=x"
BAD = {
    f"{JUDGE} task=probe task.lr=nan": r"task\.lr=nan is never a setting",
    f"{JUDGE} task=probe task.lr=[1e-3,nan]": r"task\.lr\[1\]=nan is never a setting",
    f"{JUDGE} task=knn task.judge.temperature=nan": r"task\.judge\.temperature=nan is never",
    f"{JUDGE} task=logistic task.judge.C=inf": r"task\.judge\.C=inf is never",
    f"{JUDGE} task=knn block=nan": "block=nan does not fit",
    f"{JUDGE} cache=[a]": "cache=.*valid string",
    f"{JUDGE} precision=8": "precision=8 does not fit; it should be '32-true'",
    f"{JUDGE} accelerator=tpus": "accelerator='tpus' does not fit",
    "python eval.py checkpoint=3": "checkpoint=3 does not fit; it should be a valid list or a valid string",
    "python train.py base_lr=nan": "base_lr=nan does not fit",
    "python train.py base_lr=inf": "base_lr=inf is never a setting|base_lr=inf does not fit",
    "python train.py optimizer.betas=[nan,0.9]": r"optimizer\.betas\[0\]=nan is never",
    "python train.py masker.partition.ratio=nan": r"=nan is never|ratio=nan does not fit",
    "python train.py trainer.max_time=abc": r"trainer\.max_time='abc' does not fit; it should be DD:HH:MM:SS",
    "python train.py trainer.max_time=5": r"trainer\.max_time=5 does not fit",
    "python train.py +encoder.nope=1": "encoder.nope is not an argument of ViT",
    "python train.py resume=[a,b]": r"resume=\['a', 'b'\] does not fit; it should be a valid string",
    "python train.py paths.data=[a]": r"paths\.data=\['a'\] does not fit",
    "python train.py epochs=many": "epochs='many' does not fit",
    "python train.py epochs=-1": "epochs=-1 does not fit",
}


@pytest.mark.parametrize("command", BAD)
def test_what_is_no_setting_is_refused_before_anything_is_built(composed_command, command):
    with pytest.raises(ValueError, match=BAD[command]) as refusal:
        composed_command(command)
    assert "\n" not in str(refusal.value)


def test_a_time_limit_as_lightning_takes_it_passes(composed_command):
    composed_command("python train.py trainer.max_time=00:12:00:00")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("shape", ["{a: {b: 0}}", "{a: [1, {b: 0}]}", "{b: 0}"])
def test_no_depth_hides_a_number_that_is_none(shape, number):
    cfg = OmegaConf.create(shape)
    inner = cfg.a if "a" in cfg else cfg
    (inner[1] if OmegaConf.is_list(inner) else inner)["b"] = number
    with pytest.raises(ValueError, match=r"b=-?(nan|inf) is never a setting"):
        check(cfg)


SAID = {
    "masker=scheduled masker/score=random": "masker/score@masker.first.score=... or masker/score@masker.then.score=...",
    "masker=scheduled masker/score=": "masker/score@masker.first.score=... or masker/score@masker.then.score=...",
    "data.augment=[1]": "data.augment=[1] cannot take the place of what is there; set its keys",
    "callback=[nan]": "a choice is a name, as in masker=block",
}


@pytest.mark.parametrize("arguments", SAID)
def test_what_hydra_stumbles_over_is_said_in_our_words(monkeypatch, arguments):
    register_resolvers()
    monkeypatch.setattr("sys.argv", ["train.py", *arguments.split()])
    with initialize_config_dir(str(CONFIGS), version_base="1.3"), pytest.raises(Exception) as refusal:  # noqa: PT011
        compose("train", arguments.split())
    line = one_line(refusal.value, CONFIGS, "train")
    assert SAID[arguments] in line
    assert "\n" not in line


def test_a_pool_that_is_called_something_else_is_named_for_what_it_is():
    with pytest.raises(ValueError, match=r"pool=online \(AbMILP\) has weights of its own"):
        ready({"online": AbMILP}, ViT(image_size=16, patch_size=8, width=8, depth=1, heads=2))


VALUES = ("nan", "-inf", "-1", "abc", "[1,2]", "{a:1}", "true", "''", "1.5", "[]", "[nan]", "1e30")


def test_bad_command_lines_drawn_at_random_end_in_words(monkeypatch):
    """Whatever is put in the place of any setting is taken, or refused by an error that has words of its own."""
    register_resolvers()
    draw = random.Random(0)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        names = list(_names(OmegaConf.to_container(compose("train"), resolve=False), ""))
    refused = 0
    for _ in range(60):
        argument = f"{draw.choice(names)}={draw.choice(VALUES)}"
        monkeypatch.setattr("sys.argv", ["train.py", argument])
        try:
            with initialize_config_dir(str(CONFIGS), version_base="1.3"):
                cfg = compose("train", [argument, "name=x", "paths.run=x"])
            check_top(cfg, "train")
            check(cfg)
        except Exception as error:
            line = one_line(error, CONFIGS, "train")
            assert "HYDRA_FULL_ERROR" not in line, (argument, line)
            assert "\n" not in line
            refused += 1
    assert refused > 30


def _names(node, path):
    for key, value in node.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict):
            yield from _names(value, name)
        elif not key.startswith("_") and name not in ("name", "paths.run"):
            yield name
