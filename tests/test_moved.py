"""Names of earlier versions: each points at a class that is there, old configs are read, and a
command line is told.
"""

from importlib import import_module
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mim.launch.check import check_config
from mim.launch.choices import belongs_elsewhere
from mim.moved import CLASSES, MODULES, current, moved, moved_choice, moved_setting

CONFIGS = Path(__file__).parents[1] / "configs"


NAMES = [f"{module}.X" for module in MODULES] + list(CLASSES)


@pytest.mark.parametrize("old", NAMES)
def test_what_has_moved_is_there(old):
    module, _, name = moved(old).rpartition(".")
    assert moved(f"{module}.{name}") == f"{module}.{name}" != old
    assert name == "X" or hasattr(import_module(module), name)
    import_module(module)
    assert not is_there(old) or old in CLASSES


def is_there(name):
    try:
        import_module(name.rpartition(".")[0])
    except ModuleNotFoundError:
        return False
    return True


def test_an_old_choice_is_answered_by_the_new_one():
    assert moved_choice("augment@data.augment=whole") == "augment@data.augment=no_augment"
    assert moved_choice("augment=whole") == "augment=no_augment"
    assert moved_choice("pool=whole") == "pool=whole"
    assert moved_choice("experiment=mae/scratch_vit_base") == "experiment=supervised/mae_vit_base"


def test_only_targets_of_a_config_are_read_as_they_are_called_now():
    node = {
        "_target_": "mim.task.pretrain.Pretrain",
        "each": [{"_target_": "mim.optim.clip.EachParameter"}],
        "name": "mim.task.x.Y",
    }
    assert current(node) == node | {"_target_": "mim.train.pretrain.Pretrain"}


def test_a_command_line_is_told_the_new_name():
    old = {"task": {"_target_": "mim.task.pretrain.Pretrain"}}
    with pytest.raises(
        ValueError,
        match=r"^task\._target_=mim.task.pretrain.Pretrain is mim.train.pretrain.Pretrain now$",
    ):
        check_config(OmegaConf.create(old))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("task=knn", "evaluate=knn"),
        ("task=attention_stats", "evaluate=attention_statistics"),
        ("task.judge.k=[1,5]", "evaluate.judge.k=[1,5]"),
        ("+task.lr=1", "+evaluate.lr=1"),
        ("judge@task.judge=knn", "judge@evaluate.judge=knn"),
    ],
)
def test_an_old_setting_of_an_evaluation_gets_the_line_that_says_the_new_one(old, new):
    assert moved_setting(old) == new
    assert moved_setting(new) == new
    assert belongs_elsewhere(["pool=cls", old], CONFIGS, "eval") == f"{old} is {new} now"


@pytest.mark.parametrize(
    ("program", "given", "said"),
    [
        (
            "train",
            "task=knn",
            "task=knn is for eval.py: python eval.py evaluate=knn checkpoint=...",
        ),
        ("train", "task=detect", None),  # is trained and judged by one name
        ("eval", "task=detect", "task=detect is evaluate=detect now"),
        (
            "train",
            "evaluate=probe",
            "evaluate=probe is for eval.py: python eval.py evaluate=probe checkpoint=...",
        ),
        ("train", "task.base_lr=1", None),
        (
            "eval",
            "task=finetune",
            "task=finetune is for train.py: python train.py task=finetune checkpoint=...",
        ),
        ("eval", "task=no", None),
        ("eval", "checkpoint=task=knn", None),
    ],
)
def test_what_is_the_other_command_s_is_said(program, given, said):
    assert belongs_elsewhere([given], CONFIGS, program) == said
