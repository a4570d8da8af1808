"""Learning rates of SimMIM (lr_scheduler.py): a warm-up from above zero, then steps, a line, or a
cosine that ran all along.
"""

from mim.optim.schedule import Warmup, half_cosine
from mim.part import Progress
from mim.ranges import NonNegativeInt, NotNegative, Positive, Share, in_range


class _Warmup(Warmup):
    """A linear rise to the peak, from an absolute learning rate."""

    # timm's schedulers set absolute rates, the same in every group, where MAE scales those too; and
    # they set them after a step, so that step k runs at the rate of step k - 1 (SimMIM,
    # main_simmim.py: step_update).
    per_group, late = True, 1

    @in_range
    def __init__(
        self,
        warmup_epochs: NotNegative,
        warmup_lr: NotNegative,
        warmup_steps: NonNegativeInt | None,
    ):
        super().__init__(warmup_epochs, warmup_steps)
        self.warmup_lr = warmup_lr

    def rise(self, epoch: float, warmup: float, peak: float) -> float:
        """Share of the peak at an epoch of the warm-up."""
        start = self.warmup_lr / peak
        return start + (1 - start) * epoch / warmup


class WarmupSteps(_Warmup):
    """The peak, multiplied by `gamma` at each milestone: SimMIM's ViT.

    Args:
        warmup_epochs: epochs of linear rise.
        milestones: epochs at which the rate falls, in rising order.
        gamma: what it is multiplied by.
        warmup_lr: where the rise starts, as an absolute learning rate.
        warmup_steps: the rise in optimiser steps; null for `warmup_epochs`.
    """

    def __init__(
        self,
        warmup_epochs: NotNegative,
        milestones: list[NotNegative],
        gamma: Positive = 0.1,
        warmup_lr: NotNegative = 0.0,
        warmup_steps: NonNegativeInt | None = None,
    ):
        super().__init__(warmup_epochs, warmup_lr, warmup_steps)
        if list(milestones) != sorted(milestones) or any(
            milestone < warmup_epochs for milestone in milestones
        ):
            raise ValueError(
                f"WarmupSteps got milestones={list(milestones)}, warmup_epochs={warmup_epochs:g}; "
                "milestones rise, and none lies in the warm-up: e.g. schedule.milestones=[700]"
            )
        self.milestones, self.gamma = list(milestones), gamma

    def __call__(self, progress: Progress, peak: float) -> float:
        """Share of the peak at a step; of a short training some milestones are never reached."""
        epoch, warmup = progress.epoch, self.warmup(progress)
        if epoch < warmup:
            return self.rise(epoch, warmup, peak)
        passed = sum(epoch >= milestone for milestone in self.milestones)
        return self.gamma**passed


class WarmupLine(_Warmup):
    """A line down from the peak.

    Args:
        warmup_epochs: epochs of linear rise.
        min_share: of the peak, where the line ends.
        warmup_lr: where the rise starts, as an absolute learning rate.
        warmup_steps: the rise in optimiser steps; null for `warmup_epochs`.
    """

    @in_range
    def __init__(
        self,
        warmup_epochs: NotNegative,
        min_share: Share = 0.01,
        warmup_lr: NotNegative = 0.0,
        warmup_steps: NonNegativeInt | None = None,
    ):
        super().__init__(warmup_epochs, warmup_lr, warmup_steps)
        self.min_share = min_share

    def __call__(self, progress: Progress, peak: float) -> float:
        """Share of the peak at a step."""
        epoch, warmup = progress.epoch, self.warmup(progress)
        if epoch < warmup:
            return self.rise(epoch, warmup, peak)
        return 1 - (1 - self.min_share) * (epoch - warmup) / (progress.epochs - warmup)


class RunningCosine(_Warmup):
    """Half a cosine over the whole training, of which the warm-up hides the start: SimMIM's Swin,
    and all its fine-tuning.

    Just after the warm-up the rate is below the peak (timm 0.4.12, scheduler/cosine_lr.py).

    Args:
        warmup_epochs: epochs of linear rise.
        min_lr: where the cosine ends, as an absolute learning rate.
        warmup_lr: where the rise starts, likewise.
        warmup_steps: the rise in optimiser steps; null for `warmup_epochs`.
    """

    def __init__(
        self,
        warmup_epochs: NotNegative,
        min_lr: NotNegative = 0.0,
        warmup_lr: NotNegative = 0.0,
        warmup_steps: NonNegativeInt | None = None,
    ):
        super().__init__(warmup_epochs, warmup_lr, warmup_steps)
        self.min_lr = min_lr

    def __call__(self, progress: Progress, peak: float) -> float:
        """Share of the peak at a step."""
        epoch, warmup = progress.epoch, self.warmup(progress)
        if epoch < warmup:
            return self.rise(epoch, warmup, peak)
        return half_cosine(epoch / progress.epochs, self.min_lr / peak)


class RunningCosineByEpoch(RunningCosine):
    """The same with one rate an epoch, that of the epoch before: DeiT's.

    It sets the rate once an epoch has ended, to that of the epoch that did, so the first two epochs
    run where the rise starts (facebookresearch/deit, main.py:432; timm 0.3.2).

    Args:
        warmup_epochs, min_lr, warmup_lr, warmup_steps: those of `RunningCosine`.
    """

    late = 0

    def __call__(self, progress: Progress, peak: float) -> float:
        """Share of the peak at a step."""
        before = max(0, progress.epoch_number - 1)
        return super().__call__(progress._replace(step=before * progress.steps_per_epoch), peak)
