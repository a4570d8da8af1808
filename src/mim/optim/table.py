"""Learning rates written down step by step before a training begins: the peak stands twice, at the
end of the rise and after it.
"""

from mim.optim.schedule import Warmup, half_cosine
from mim.part import Progress
from mim.ranges import NonNegativeInt, NotNegative


class LinspaceCosine(Warmup):
    """Learning rate of DINO, iBOT, BEiT, BootMAE and data2vec (DINO, utils.py: cosine_scheduler).

    Of n steps the first w are `linspace(0, peak, w)`, so that the last of them has the peak; step w
    + i has `min + (peak - min) * (1 + cos(pi * i / (n - w))) / 2`. A group's least rate is in
    proportion to its peak.

    Args:
        warmup_epochs: epochs of linear rise.
        min_lr: where the cosine would end after the last step, as an absolute learning rate.
        warmup_steps: the rise in optimiser steps; null for `warmup_epochs`.
    """

    start = 0.0

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
        step, steps = progress.step, progress.steps
        rise = round(self.warmup(progress) * progress.steps_per_epoch)
        if step < rise:
            return self.start + (1 - self.start) * step / max(1, rise - 1)
        return half_cosine((step - rise) / (steps - rise), self.min_lr / peak)


class MMLinearCosine(LinspaceCosine):
    """Learning rate of CMAE (mmengine 0.10.4: LinearLR, then CosineAnnealingLR, both by step).

    The rise starts at a share of each group's peak, and `min_lr` is the same for every group.

    Args:
        warmup_epochs: epochs of linear rise.
        min_lr: where the cosine would end after the last step, as an absolute learning rate.
        start: of the rise, as a share of the peak.
        warmup_steps: the rise in optimiser steps; null for `warmup_epochs`.
    """

    per_group = True

    def __init__(
        self,
        warmup_epochs: NotNegative,
        min_lr: NotNegative = 0.0,
        start: NotNegative = 1e-4,
        warmup_steps: NonNegativeInt | None = None,
    ):
        super().__init__(warmup_epochs, min_lr, warmup_steps)
        self.start = start
