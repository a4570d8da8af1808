"""Learning rate that falls as a power of what is left of the training (mmcv 1.3,
runner/hooks/lr_updater.py: PolyLrUpdaterHook).
"""

from mim.optim.schedule import Warmup
from mim.part import Progress
from mim.ranges import NonNegativeInt, NotNegative, Positive, Rate


class MMPoly(Warmup):
    """Learning rate of mmsegmentation: the fall begins with the first step, and a rise from a share
    of it hides its start.

    Args:
        warmup_epochs: epochs of linear rise.
        warmup_steps: the rise in optimiser steps; null for `warmup_epochs`. MAE's UPerNet has
            1,500.
        power: of the share of the training that is left.
        start: share of the rate in force that the rise begins with.
        min_lr: where the fall ends, as an absolute learning rate, the same in every group.
    """

    per_group = True

    def __init__(
        self,
        warmup_epochs: NotNegative,
        warmup_steps: NonNegativeInt | None = None,
        power: Positive = 1.0,
        start: Rate = 1e-6,
        min_lr: NotNegative = 0.0,
    ):
        super().__init__(warmup_epochs, warmup_steps)
        self.power, self.start, self.min_lr = power, start, min_lr

    def __call__(self, progress: Progress, peak: float) -> float:
        """Share of the peak at a step."""
        warmup = self.warmup(progress)
        end = self.min_lr / peak
        share = end + (1 - end) * (1 - progress.share) ** self.power
        if progress.epoch < warmup:
            share *= 1 - (1 - progress.epoch / warmup) * (1 - self.start)
        return share
