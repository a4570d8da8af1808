"""Learning rates of I-JEPA and MSN (facebookresearch/ijepa, src/utils/schedulers.py:
WarmupCosineSchedule).
"""

from typing import Annotated

from annotated_types import Ge

from mim.optim.schedule import Warmup, half_cosine
from mim.part import Progress
from mim.ranges import NonNegativeInt, NotNegative, in_range


class StretchedCosine(Warmup):
    """A line up from a rate above zero, then half a cosine that may be longer than the training.

    Each step has the rate of the step after: it is set, to that of one step more, before the
    optimiser steps.

    Args:
        warmup_epochs: epochs of linear rise.
        start_lr: where the rise starts, as an absolute learning rate.
        min_lr: where the cosine ends, likewise.
        stretch: length of rise and cosine together over that of the training; MSN's is 1.25, so
            that it ends above `min_lr`.
        warmup_steps: the rise in optimiser steps; null for `warmup_epochs`.

    Raises:
        ValueError: where the schedule is shorter than the training.
    """

    late = -1

    @in_range
    def __init__(
        self,
        warmup_epochs: NotNegative,
        start_lr: NotNegative = 0.0,
        min_lr: NotNegative = 0.0,
        stretch: Annotated[float, Ge(1)] = 1.0,
        warmup_steps: NonNegativeInt | None = None,
    ):
        super().__init__(warmup_epochs, warmup_steps)
        self.start_lr, self.min_lr, self.stretch = start_lr, min_lr, stretch

    def __call__(self, progress: Progress, peak: float) -> float:
        """Share of the peak at a step."""
        epoch, warmup = progress.epoch, self.warmup(progress)
        if progress.step < int(warmup * progress.steps_per_epoch + 1e-9):
            start = self.start_lr / peak
            return start + (1 - start) * epoch / warmup
        return half_cosine(
            (epoch - warmup) / (self.stretch * progress.epochs - warmup), self.min_lr / peak
        )
