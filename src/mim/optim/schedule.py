"""Learning rates over a training: a warm-up, then half a cosine set anew at every step (MAE,
util/lr_sched.py).
"""

import math
from typing import Protocol

from mim.part import Progress
from mim.ranges import NonNegativeInt, NotNegative, in_range


class Schedule(Protocol):
    """Schedule of a learning rate: the share of its peak that is in force.

    Attributes:
        per_group: whether its absolute rates are the same for every group of parameters, whatever
            its peak; if not, a group's rates are the highest group's, in proportion to its peak.
        late: steps that a rate is late by: 1 where it is set after a step and that of the step
            before is in force, -1 where that of the step after is.
    """

    per_group: bool
    late: int

    def __call__(self, progress: Progress, peak: float) -> float:
        """Share of the peak, an absolute rate, that is in force at a step."""


class Warmup:
    """Length of a warm-up.

    Args:
        warmup_epochs: epochs of linear rise.
        warmup_steps: the same in optimiser steps; null for `warmup_epochs`.

    Raises:
        ValueError: where one is negative.
    """

    per_group: bool = False
    late: int = 0

    @in_range
    def __init__(self, warmup_epochs: NotNegative, warmup_steps: NonNegativeInt | None = None):
        self.warmup_epochs, self.warmup_steps = warmup_epochs, warmup_steps

    def warmup(self, progress: Progress) -> float:
        """Epochs of rise.

        Raises:
            ValueError: where the warm-up is longer than the training.
        """
        given, length = f"warmup_epochs={self.warmup_epochs:g}", self.warmup_epochs
        if self.warmup_steps is not None:
            given, length = (
                f"warmup_steps={self.warmup_steps}",
                self.warmup_steps / progress.steps_per_epoch,
            )
        epochs = progress.epochs
        if length >= epochs:
            whole, fix = f"epochs={epochs:g}", f"warmup_epochs={epochs / 10:g}"
            if self.warmup_steps is not None or progress.steps % progress.steps_per_epoch:
                fix = f"warmup_steps={progress.steps // 10}"
            if progress.steps % progress.steps_per_epoch:
                whole = f"steps={progress.steps}"
            how = (
                f"shorten the warm-up, e.g. {fix}" if epochs else "train for longer, e.g. epochs=1"
            )
            raise ValueError(f"{given} leaves nothing of {whole}; {how}")
        return length


class WarmupCosine(Warmup):
    """Learning rate of MAE: a line up from 0, then half a cosine.

    Args:
        warmup_epochs: epochs of linear rise.
        min_lr: where the cosine ends, as an absolute learning rate.
        warmup_steps: the rise in optimiser steps; null for `warmup_epochs`.
    """

    def __init__(
        self,
        warmup_epochs: NotNegative,
        min_lr: NotNegative = 0.0,
        warmup_steps: NonNegativeInt | None = None,
    ):
        super().__init__(warmup_epochs, warmup_steps)
        self.min_lr = min_lr

    def __call__(self, progress: Progress, peak: float) -> float:
        """Share of the peak at a step."""
        epoch, warmup = progress.epoch, self.warmup(progress)
        if epoch < warmup:
            return epoch / warmup
        return half_cosine((epoch - warmup) / (progress.epochs - warmup), self.min_lr / peak)


class CosineByEpoch:
    """Learning rate with one value an epoch and no warm-up: iBOT's and DINO's linear probes, by
    torch's CosineAnnealingLR.

    Args:
        min_lr: where the cosine would end after the last epoch, as an absolute learning rate.
    """

    per_group, late = True, 0

    def __init__(self, min_lr: NotNegative = 0.0):
        self.min_lr = min_lr

    def __call__(self, progress: Progress, peak: float) -> float:
        """Share of the peak at a step."""
        return half_cosine(progress.epoch_number / progress.epochs, self.min_lr / peak)


class Constant:
    """Learning rate that stays at its peak."""

    per_group, late = False, 0

    def __call__(self, progress: Progress, peak: float) -> float:
        """Share 1 of the peak, at every step."""
        return 1.0


def half_cosine(share: float, end: float) -> float:
    """1 at a share of 0, `end` at 1."""
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * share))
