"""Optimiser of a training, each group of which follows the training's schedules."""

from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer

from mim.optim.follow import Follow
from mim.run.training_data import data_of
from mim.train.training import Training


def follow_schedules(training: Training, optimizer: Optimizer) -> OptimizerLRScheduler:
    """What `configure_optimizers` returns: the optimiser, and its rates at every step.

    Args:
        training: has the schedules, and a trainer that says how long it is.
        optimizer: its groups start at their own peaks.
    """
    schedule = Follow(
        optimizer,
        training.schedule,
        training.lr,
        training.length,
        max(1, data_of(training.trainer).steps_per_epoch),
        training.weight_decay_schedule,
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
