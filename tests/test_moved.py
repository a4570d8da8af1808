"""Names of earlier versions: each points at a class that is there, old configs are read, and a command line is told."""

from importlib import import_module

import pytest
from omegaconf import OmegaConf

from mim.launch.check import check
from mim.moved import MODULES, current, moved


@pytest.mark.parametrize(("old", "new"), MODULES.items())
def test_what_has_moved_is_there(old, new):
    assert moved(f"{old}.X") == f"{new}.X"
    import_module(new)
    with pytest.raises(ModuleNotFoundError):
        import_module(old)


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
        ValueError, match=r"^task\._target_=mim.task.pretrain.Pretrain is mim.train.pretrain.Pretrain now$"
    ):
        check(OmegaConf.create(old))
