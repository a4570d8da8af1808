"""Learning rate that falls at milestones, after a linear rise (detectron2's WarmupParamScheduler
over fvcore's multi-step).
"""

from collections.abc import Sequence

from mim.optim.schedule import Warmup
from mim.part import Progress
from mim.ranges import NonNegativeInt, NotNegative, Rate, Share


class Milestones(Warmup):
    """Learning rate of ViTDet: a line up from a thousandth, then the peak, a tenth of it, a
    hundredth.

    Args:
        warmup_epochs: epochs of linear rise.
        warmup_steps: the rise in optimiser steps; null for `warmup_epochs`. ViTDet has 250.
        milestones: shares of the training, rounded to whole steps, after each of which the rate is
            `factor` of what it was. ViTDet's are 8/9 and 26/27: 163,889 and 177,546 of 184,375
            steps.
        factor: see `milestones`.
        start: share of the peak where the rise begins.

    Raises:
        ValueError: where milestones do not rise.
    """

    def __init__(
        self,
        warmup_epochs: NotNegative = 0,
        warmup_steps: NonNegativeInt | None = None,
        milestones: Sequence[Share] = (8 / 9, 26 / 27),
        factor: Share = 0.1,
        start: Rate = 0.001,
    ):
        super().__init__(warmup_epochs, warmup_steps)
        if list(milestones) != sorted(milestones):
            raise ValueError(
                f"Milestones got milestones={list(milestones)}; they must rise, e.g. [0.89,0.96]"
            )
        self.milestones, self.factor, self.start = tuple(milestones), factor, start

    def __call__(self, progress: Progress, peak: float) -> float:
        """Share of the peak at a step."""
        warmup = self.warmup(progress)
        done = sum(progress.step >= round(share * progress.steps) for share in self.milestones)
        if progress.epoch < warmup:
            done_of_rise = progress.epoch / warmup
            return self.start * (1 - done_of_rise) + done_of_rise
        return self.factor**done
