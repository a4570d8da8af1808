"""Learning rates of I-JEPA and MSN (facebookresearch/ijepa, src/utils/schedulers.py: WarmupCosineSchedule)."""

from mim.optim.schedule import Warmup, half_cosine
from mim.ranges import NonNegativeInt, NotNegative, Positive


class StretchedCosine(Warmup):
    """A line up from a rate above zero, then half a cosine that may be longer than the training.

    Each step has the rate of the step after: it is set, to that of one step more, before the optimiser steps.

    Args:
        warmup_epochs: epochs of linear rise.
        start_lr: where the rise starts, as an absolute learning rate.
        min_lr: where the cosine ends, likewise.
        stretch: length of rise and cosine together over that of the training; MSN's is 1.25, so that it ends above `min_lr`.
        warmup_steps: the rise in optimiser steps; null for `warmup_epochs`.

    Raises:
        ValueError: where the schedule is shorter than the training.
    """

    late = -1

    def __init__(
        self,
        warmup_epochs: NotNegative,
        start_lr: NotNegative = 0.0,
        min_lr: NotNegative = 0.0,
        stretch: Positive = 1.0,
        warmup_steps: NonNegativeInt | None = None,
    ):
        super().__init__(warmup_epochs, warmup_steps)
        if stretch < 1:
            raise ValueError(f"schedule.stretch={stretch:g} ends before the training does; needs 1 or more")
        self.start_lr, self.min_lr, self.stretch = start_lr, min_lr, stretch

    def __call__(self, epoch: float, epochs: float, lr: float, passes: float = 1) -> float:
        """Share of the peak `lr` at a (fractional) epoch of a training of `epochs`."""
        warmup = self.warmup(epochs, passes)
        if round(epoch * passes) < int(warmup * passes + 1e-9):
            start = self.start_lr / lr
            return start + (1 - start) * epoch / warmup
        return half_cosine((epoch - warmup) / (self.stretch * epochs - warmup), self.min_lr / lr)
