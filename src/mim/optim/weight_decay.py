"""Weight decay that changes over a training (DINO, main_dino.py; iBOT, main_ibot.py)."""

import math

from mim.ranges import NotNegative


class CosineWeightDecay:
    """Weight decay by half a cosine over all steps, set before each step; of those parameters that are decayed.

    Args:
        end: where it would be after the last step.
    """

    def __init__(self, end: NotNegative):
        self.end = end

    def __call__(self, progress: float, start: float) -> float:
        """Steps done / all steps, and the decay at 0 -> the decay in force."""
        return self.end + (start - self.end) * 0.5 * (1 + math.cos(math.pi * progress))
