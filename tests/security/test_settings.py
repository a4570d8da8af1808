"""NaN is never a setting, and a bad command line ends in one line of our own words."""

import re

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from mim.checkpoint.resume import resumable
from mim.encoder.vit import ViT
from mim.evaluate.classify import ready
from mim.installed import CONFIGS
from mim.launch.check import check_config
from mim.launch.errors import one_line
from mim.launch.processes import count_devices
from mim.launch.resolvers import register_resolvers
from mim.launch.top import check_top
from mim.plain import settings_of
from mim.pool.abmilp import AbMILP
from mim.weights.read import read_weights
from tests.security.bad_commands import drawn
from tests.slow import slow

JUDGE = "python eval.py checkpoint=x"
BAD = {
    f"{JUDGE} evaluate=probe evaluate.lr=nan": r"evaluate\.lr=nan is never a setting",
    f"{JUDGE} evaluate=probe evaluate.lr=[1e-3,nan]": r"evaluate\.lr\[1\]=nan is never a setting",
    f"{JUDGE} evaluate=knn evaluate.judge.temperature=nan": r"evaluate\.judge\.temperature=nan is "
    r"never",
    f"{JUDGE} evaluate=logistic evaluate.judge.C=inf": r"evaluate\.judge\.C=inf is never",
    f"{JUDGE} evaluate=knn block=nan": "block=nan does not fit",
    f"{JUDGE} cache=[a]": "cache=.*valid string",
    f"{JUDGE} precision=8": "precision=8 does not fit; it should be '32-true'",
    f"{JUDGE} accelerator=tpus": "accelerator='tpus' does not fit",
    "python eval.py checkpoint=3": "checkpoint=3 does not fit; it should be a valid list or a "
    "valid string",
    "python train.py base_lr=nan": "base_lr=nan does not fit",
    "python train.py base_lr=inf": "base_lr=inf is never a setting|base_lr=inf does not fit",
    "python train.py optimizer.betas=[nan,0.9]": r"optimizer\.betas\[0\]=nan is never",
    "python train.py masker.partition.ratio=nan": r"=nan is never|ratio=nan does not fit",
    "python train.py trainer.max_time=abc": r"trainer\.max_time='abc' does not fit; it should be "
    r"DD:HH:MM:SS",
    "python train.py trainer.max_time=5": r"trainer\.max_time=5 does not fit",
    "python train.py +encoder.nope=1": "encoder.nope is not an argument of ViT",
    "python train.py resume=[a,b]": r"resume=\['a', 'b'\] does not fit; it should be a valid str",
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
        check_config(cfg)


SAID = {
    "masker=scheduled masker/score=random": "masker/score@masker.first.score=... or "
    "masker/score@masker.then.score=...",
    "masker=scheduled masker/score=": "masker/score@masker.first.score=... or "
    "masker/score@masker.then.score=...",
    "data.augment=[1]": "data.augment=[1] cannot take the place of what is there; set its keys",
    "callback=[nan]": "a choice is a name, as in masker=block",
}


@pytest.mark.parametrize("arguments", SAID)
def test_what_hydra_stumbles_over_is_said_in_our_words(monkeypatch, arguments):
    register_resolvers()
    monkeypatch.setattr("sys.argv", ["train.py", *arguments.split()])
    with (
        initialize_config_dir(str(CONFIGS), version_base="1.3"),
        pytest.raises(Exception) as refusal,  # noqa: PT011
    ):
        compose("train", arguments.split())
    line = one_line(refusal.value, CONFIGS, "train")
    assert SAID[arguments] in line
    assert "\n" not in line


def test_a_pool_that_is_called_something_else_is_named_for_what_it_is():
    with pytest.raises(ValueError, match=r"pool=online \(AbMILP\) has weights of its own"):
        ready({"online": AbMILP}, ViT(image_size=16, patch_size=8, width=8, depth=1, heads=2))


def refusal_of(program, arguments, monkeypatch):
    """The line in which a command ends before anything is built, or nothing."""
    monkeypatch.setattr("sys.argv", [f"{program}.py", *arguments])
    more = (
        ["checkpoint=x"]
        if program == "eval" and not any(a.startswith("checkpoint=") for a in arguments)
        else []
    )
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            cfg = compose(
                program,
                [*arguments, *more, "hydra.runtime.output_dir=run"],
                return_hydra_config=True,
            )
        HydraConfig.instance().set_config(cfg)
        cfg = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
        check_top(settings_of(cfg, resolve=True), program)
        check_config(cfg)
    except Exception as error:
        return one_line(error, CONFIGS, program)
    return ""


CHOSEN = (
    ("train", ()),
    ("eval", ()),
    slow("train", ("task=finetune",)),
    slow("train", ("model=simmim", "masker=scheduled")),
    slow("eval", ("evaluate=probe",)),
    slow("eval", ("evaluate=embedding",)),
)


@pytest.mark.parametrize(("program", "chosen"), CHOSEN)
def test_bad_command_lines_drawn_at_random_end_in_words(monkeypatch, program, chosen):
    """Whatever is typed is taken, or refused by an error that has words of its own; bad_commands.py
    has how they are drawn.
    """
    register_resolvers()
    refused = 0
    for arguments in drawn(program, 16, len(chosen), chosen):
        if any(argument.startswith("-") for argument in arguments):  # Python's argparse says those
            continue
        line = refusal_of(program, arguments, monkeypatch)
        assert "HYDRA_FULL_ERROR" not in line, (arguments, line)
        assert "\n" not in line
        refused += bool(line)
    assert refused > 7


# of about 575 that were drawn and run to their ends, those that ended in an exception's name, or
# well
KEPT = {
    "train loss._target_=1e30": "loss cannot be built: _target_ names a class or a function",
    "train +callback.finite._target_.nope=a": "callback.finite cannot be built: _target_ names a",
    "train loss.target._target_=a/b": r"loss.target._target_=a/b cannot be imported: Error loading "
    r"'a/b'",
    "train model/decoder=3": "^model/decoder=3 is not a choice; allowed: .*vit",
    "train +model=simmim": r"^model has a choice already: model=simmim, without the \+$",
    "train seed=3 resolution=true": "^resolution=true is not a choice; allowed: progressive$",
    "train model=null": "^model=null is not a choice; allowed: .*'~model' leaves it out",
    "train loss=1e-400": "^loss=1e-400 is not a choice; allowed: .*pixel",
    "train ~epochs": r"^trainer\.max_epochs is made of epochs, which is not set$",
    "train masker.cell=${nope}": r"^masker\.cell is made of nope, which is not set$",
    "train épochs=1": "^'épochs' is not a setting; did you mean 'epochs'",
    "train callback.online_probe.pool=1e-400": r"pool=0\.0 does not fit; it should be a part",
    "eval evaluate=knn pool=[mean,null]": "^a choice is a name, as in masker=block, and what is "
    "chosen here is none$",
    "train masker.partition._target_=abc": "masker.partition cannot be built: _target_ names a "
    "class or a function",
    "train model._partial_=[]": "_partial_ is true or false",
    "train ++callback.reconstructions=1e-400": "callback.reconstructions=0.0 is no callback",
    "train model.encoder=-0.0": "model.encoder=-0.0 does not fit; it should be a part",
    "train logger.csv=a/b": "logger.csv=a/b is no logger",
    "train +trainer.overfit_batches=3": "debug=overfit trains on one batch",
    "train epochs=99999999999999999999": "epochs=9+ does not fit; it should be at least 1 and less",
    "train trainer.limit_train_batches=0": "limit_train_batches=0 does not fit",
    "train trainer.limit_train_batches=2.5": "limit_train_batches=2.5 does not fit",
    "train trainer.accelerator=tpu": "trainer.accelerator='tpu' does not fit",
    "train paths.run=": "paths.run='' does not fit",
    "train sweep.metric=1.5": "sweep.metric=1.5 does not fit",
    "train sweep.metric=[a,2]": "sweep.metric=.* does not fit",
    "train sweep.parallel=0": "sweep.parallel=0 does not fit",
    "train sweep.maximise=maybe": "sweep.maximise='maybe' does not fit",
    "eval +sweep.parallel.nope=0": "sweep.parallel=.* does not fit",
    "eval evaluate=embedding +pool.nope=": "pool.nope= is no pool",
    "eval checkpoint=x precision=bf16-true": r"precision='bf16-true' does not fit; it should be "
    r"'32-true', 'bf16-mixed' or",
    "eval checkpoint=x precision=64-true": "precision='64-true' does not fit",
    "eval checkpoint=x precision=half": "precision='half' does not fit",
}


@pytest.mark.parametrize("command", KEPT)
def test_what_ended_in_an_exceptions_name_ends_in_words(monkeypatch, command):
    register_resolvers()
    program, *arguments = command.split()
    line = refusal_of(program, arguments, monkeypatch)
    assert re.search(KEPT[command], line), line


def test_lightnings_own_words_about_its_settings_are_enough():
    assert (
        one_line(MisconfigurationException("You have passed"), CONFIGS, "train")
        == "You have passed"
    )


@pytest.mark.parametrize("setting", ["sweep.metric=1.5", "sweep.parallel=0", "sweep.name=[a]"])
def test_a_sweep_with_settings_that_are_none_starts_nothing(command, ran, runs, setting):
    ended = command("train", "-m", "seed=0,1", setting)
    assert (ended.code, ran, ended.err.count("\n")) == (1, [], 1)
    assert f"error: {setting.partition('=')[0]}=" in ended.err
    assert not list(runs.glob("sweeps/*/*"))


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        (
            [0],
            r"trainer.devices=\[0\] names GPUs, and this trains on a CPU, which has processes: "
            r"trainer.devices=1",
        ),
        ("0,1", "names GPUs, .* trainer.devices=2"),
        ("abc", "trainer.devices=abc is no number of devices"),
        ("1.5", "is no number of devices"),
        ([], "leaves nobody to train"),
        (0, "leaves nobody to train"),
    ],
)
def test_devices_that_a_cpu_does_not_have_are_refused(devices, said):
    with pytest.raises(ValueError, match=said):
        count_devices("cpu", devices)
    assert count_devices("cpu", "auto") == 1


@pytest.mark.parametrize("file", ["/etc/passwd", "/bin/ls"])
def test_what_is_no_checkpoint_at_all_is_refused(file):
    with pytest.raises(ValueError, match="is cut off, damaged or no checkpoint"):
        read_weights(file)
    with pytest.raises(ValueError, match="is not a checkpoint, or is damaged"):
        resumable(file, nn.Identity(), {})
