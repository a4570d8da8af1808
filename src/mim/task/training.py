"""What every training shares, whatever it learns: the scale of its learning rate, its schedule, its random streams."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as L
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mim.batch import Batch
from mim.draw import keys
from mim.ranges import NotNegative, Positive, Seed
from mim.task.position import count_in_batches_of

Schedule = Callable[[float, float, float], float]
"""Epoch, epochs and a peak learning rate -> the share of the peak that is in force."""


class Training(L.LightningModule):
    """Whatever is learned: one `objective` a step, at a rate that goes with the images of a step.

    Args:
        optimizer: builds the optimiser from parameter groups.
        schedule: share of the peak learning rate at (epoch, epochs, peak).
        base_lr: learning rate for an effective batch of 256; the peak is `base_lr * effective_batch / 256`.
        weight_decay: of matrices; vectors and biases are not decayed.
        compile: compile the step into one graph.
        seed: of everything random in a step that has no key of its own.
    """

    objective: Callable[..., Any]

    def __init__(
        self,
        optimizer: Callable[..., Optimizer],
        schedule: Schedule,
        base_lr: Positive,
        weight_decay: NotNegative,
        compile: bool,
        seed: Seed,
    ):
        super().__init__()
        self.optimizer, self.schedule = optimizer, schedule
        self.base_lr, self.weight_decay, self.seed = base_lr, weight_decay, seed
        self.compiles = compile  # a strategy that cuts the model up compiles what it cuts, and takes this off

    def on_fit_start(self) -> None:
        """Compile the objective into one graph: the function, not the module, so that parameters keep their names."""
        if self.compiles:
            self.objective = torch.compile(self.objective, fullgraph=True)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Give each (seed, step, process) random streams of its own, so that a resumed run draws what it would have drawn.

        They are for what has no key: stochastic depth, and what timm draws from Python and NumPy (mixup, random erasing).
        """
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        number = int(keys(self.seed, step, torch.tensor([self.global_rank])))
        torch.manual_seed(number)
        random.seed(number)
        np.random.seed(number % 2**32)  # noqa: NPY002  # timm draws from it

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what a batch is worth: Lightning counts batches, of which another run may accumulate another number."""
        checkpoint["accumulated"] = self.trainer.accumulate_grad_batches

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on after as many steps, however many batches they are made of now."""
        now = self.trainer.accumulate_grad_batches
        count_in_batches_of(checkpoint["loops"], checkpoint.get("accumulated", now), now)

    @property
    def effective_batch(self) -> int:
        """Images per optimiser step, over all devices and accumulated batches."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        return data.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches

    @property
    def lr(self) -> float:
        """Peak learning rate."""
        return self.base_lr * self.effective_batch / 256


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
    steps = max(1, trainer.datamodule.steps_per_epoch)
    per_group = getattr(schedule, "per_group", False)

    def share(peak: float) -> Callable[[int], float]:
        return lambda step: schedule(step / steps, epochs, peak)

    shares = [share(group["lr"] if per_group else lr) for group in optimizer.param_groups]
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, shares), "interval": "step"}}
