"""What the average of the weights refuses; what it does is in tests/e2e/test_finetune_runs.py."""

from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import LightningModule
from torch import nn

from mim.callback.weight_average import WeightAverage
from mim.run.checkpoint import Checkpoint
from mim.strategy.fsdp import FSDP


@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_a_decay_that_is_no_share_is_refused(decay):
    with pytest.raises(ValueError, match="more than 0 and less than 1"):
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


def saved(average, module):
    """A checkpoint, as Lightning begins it."""
    checkpoint = {
        "state_dict": {name: value.clone() for name, value in module.state_dict().items()}
    }
    average.on_save_checkpoint(None, module, checkpoint)
    return {
        key: value["weight"].item()
        for key, value in checkpoint.items()
        if "state" in key and "weight" in value
    }


def test_a_checkpoint_holds_the_average_and_the_weights_also_while_the_average_is_judged():
    module = LightningModule()
    module.weight = nn.Parameter(torch.tensor(1.0))
    average = WeightAverage(0.5)
    trainer = SimpleNamespace(callbacks=[average], strategy=None)
    average.setup(trainer, module, "fit")
    module.weight.data.fill_(3.0)
    both = {"state_dict": 1.0, "current_model_state": 3.0}
    assert saved(average, module) == both
    average.on_validation_epoch_start(trainer, module)
    assert module.weight.item() == 1.0  # the average is judged
    assert saved(average, module) == both
    average.on_validation_epoch_end(trainer, module)
    assert module.weight.item() == 3.0
    assert saved(average, module) == both
