"""What the average of the weights refuses; what it does is in tests/e2e/test_finetune_runs.py."""

from types import SimpleNamespace

import pytest

from mim.callback.weight_average import WeightAverage
from mim.run.checkpoint import Checkpoint
from mim.strategy.fsdp import FSDP


@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_a_decay_that_is_no_share_is_refused(decay):
    with pytest.raises(ValueError, match="between 0 and 1"):
        WeightAverage(decay)


def test_weights_that_are_cut_up_are_refused():
    average = WeightAverage()
    trainer = SimpleNamespace(callbacks=[average], strategy=FSDP.__new__(FSDP))
    with pytest.raises(ValueError, match="trainer=fsdp cuts them up"):
        average.setup(trainer, None, "fit")


def test_checkpoints_that_would_miss_the_last_step_are_refused(tmp_path):
    average = WeightAverage()
    trainer = SimpleNamespace(callbacks=[Checkpoint(str(tmp_path)), average], strategy=None)
    with pytest.raises(ValueError, match="name it first"):
        average.setup(trainer, None, "fit")
