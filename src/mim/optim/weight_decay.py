"""Weight decay that changes over a training (DINO, main_dino.py; iBOT, main_ibot.py; I-JEPA and MSN, src/utils)."""

import math

from mim.ranges import NotNegative, Positive


class CosineWeightDecay:
    """Weight decay by half a cosine over all steps, set before each step; of those parameters that are decayed.

    Args:
        end: where it would be after the last step.
        stretch: length of the cosine over that of the training; MSN's is 1.25, so that it ends before `end`.
        ahead: whether a step has the value of the step after, which I-JEPA and MSN set before it.
    """

    def __init__(self, end: NotNegative, stretch: Positive = 1.0, ahead: bool = False):
        self.end, self.stretch, self.late = end, stretch, -int(ahead)

    def __call__(self, progress: float, start: float) -> float:
        """Steps done / all steps, and the decay at 0 -> the decay in force."""
        return self.end + (start - self.end) * 0.5 * (1 + math.cos(math.pi * progress / self.stretch))
