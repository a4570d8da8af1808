"""What every training shares, whatever it learns: the scale of its learning rate, its schedule, its random streams."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as L
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mim.draw import keys

Schedule = Callable[[float, float, float], float]
"""Epoch, epochs and a peak learning rate -> the share of the peak that is in force."""


def effective_batch(trainer: Any) -> int:
    """Images per optimiser step, over all devices and accumulated batches."""
    return trainer.datamodule.batch_size * trainer.world_size * trainer.accumulate_grad_batches


def follow(schedule: Schedule, optimizer: Optimizer, trainer: Any, lr: float) -> dict[str, Any]:
    """What `configure_optimizers` returns: each group of the optimiser follows the schedule, step by step.

    Args:
        schedule: its absolute rates are those of the peak, or, where it says `per_group`, of every group.
        optimizer: its groups start at their own peaks.
        trainer: says how many steps an epoch has.
        lr: the highest of the peaks.
    """
    epochs = trainer.max_epochs
    # not trainer.estimated_stepping_batches: it builds the loader before a resumed run knows where it stopped
    steps = max(1, math.ceil(trainer.datamodule.batches_per_epoch / trainer.accumulate_grad_batches))
    per_group = getattr(schedule, "per_group", False)

    def share(peak: float) -> Callable[[int], float]:
        return lambda step: schedule(step / steps, epochs, peak)

    shares = [share(group["lr"] if per_group else lr) for group in optimizer.param_groups]
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, shares), "interval": "step"}}


def compile_step(task: Any) -> None:
    """Compile a task's `objective` into one graph: the function, not the module, so that parameters keep their names."""
    if task.compiles:
        task.objective = torch.compile(task.objective, fullgraph=True)


def seed_step(task: L.LightningModule, seed: int) -> None:
    """Give each (seed, step, process) random streams of its own, so that a resumed run draws what it would have drawn.

    They are for what has no key: stochastic depth, and what timm draws from Python and NumPy (mixup, random erasing).
    """
    step = task.trainer.fit_loop.epoch_loop.total_batch_idx
    number = int(keys(seed, step, torch.tensor([task.global_rank])))
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002  # timm draws from it
