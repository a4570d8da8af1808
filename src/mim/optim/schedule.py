"""Linear warm-up, then half a cosine, set anew at every step (MAE, util/lr_sched.py)."""

import math

from mim.ranges import NotNegative


class WarmupCosine:
    """Learning rate as a share of its peak.

    Args:
        warmup_epochs: epochs of linear rise from 0.
        min_lr: where the cosine ends, as an absolute learning rate.
    """

    def __init__(self, warmup_epochs: NotNegative, min_lr: NotNegative = 0.0):
        if warmup_epochs < 0 or min_lr < 0:
            raise ValueError(
                f"WarmupCosine got warmup_epochs={warmup_epochs}, min_lr={min_lr}; neither may be negative"
            )
        self.warmup_epochs, self.min_lr = warmup_epochs, min_lr

    def __call__(self, epoch: float, epochs: float, lr: float) -> float:
        """The share of the peak `lr` in force at a (fractional) epoch of a training of `epochs`.

        Raises:
            ValueError: where the warm-up is longer than the training.
        """
        if self.warmup_epochs >= epochs:
            fix = (
                f"shorten the warm-up, e.g. warmup_epochs={epochs / 10:g}"
                if epochs > 0
                else "train for longer, e.g. epochs=1"
            )
            raise ValueError(f"warmup_epochs={self.warmup_epochs:g} leaves nothing of epochs={epochs:g}; {fix}")
        if epoch < self.warmup_epochs:
            return epoch / self.warmup_epochs
        progress = (epoch - self.warmup_epochs) / (epochs - self.warmup_epochs)
        floor = self.min_lr / lr
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


class Constant:
    """The peak, always."""

    def __call__(self, epoch: float, epochs: float, lr: float) -> float:
        """1."""
        return 1.0
