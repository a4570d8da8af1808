"""Learning rates of SimMIM (lr_scheduler.py): a warm-up from above zero, then steps, a line, or a cosine that ran all along."""

import math


class _Warmup:
    """A linear rise to the peak, from an absolute learning rate."""

    per_group = (
        True  # absolute rates are the same for every group of parameters, whatever its peak; MAE scales those too
    )

    def __init__(self, warmup_epochs: float, warmup_lr: float):
        if warmup_epochs < 0 or warmup_lr < 0:
            raise ValueError(
                f"{type(self).__name__} got warmup_epochs={warmup_epochs}, warmup_lr={warmup_lr}; neither may be negative"
            )
        self.warmup_epochs, self.warmup_lr = warmup_epochs, warmup_lr

    def rise(self, epoch: float, lr: float) -> float:
        """The share of the peak `lr` in force at an epoch of the warm-up."""
        start = self.warmup_lr / lr
        return start + (1 - start) * epoch / self.warmup_epochs


class WarmupSteps(_Warmup):
    """The peak, multiplied by `gamma` at each milestone: SimMIM's ViT.

    Args:
        warmup_epochs: epochs of linear rise.
        milestones: epochs at which the rate falls, in rising order.
        gamma: what it is multiplied by.
        warmup_lr: where the rise starts, as an absolute learning rate.
    """

    def __init__(self, warmup_epochs: float, milestones: list[float], gamma: float = 0.1, warmup_lr: float = 0.0):
        super().__init__(warmup_epochs, warmup_lr)
        if list(milestones) != sorted(milestones) or any(milestone < warmup_epochs for milestone in milestones):
            raise ValueError(
                f"WarmupSteps got milestones={list(milestones)}, warmup_epochs={warmup_epochs:g}; "
                "milestones rise, and none lies in the warm-up: e.g. schedule.milestones=[700]"
            )
        self.milestones, self.gamma = list(milestones), gamma

    def __call__(self, epoch: float, epochs: float, lr: float) -> float:
        """The share of the peak `lr` in force at a (fractional) epoch; of a short training some milestones are never reached."""
        if epoch < self.warmup_epochs:
            return self.rise(epoch, lr)
        passed = sum(epoch >= milestone for milestone in self.milestones)
        return self.gamma**passed


class WarmupLine(_Warmup):
    """A line down from the peak.

    Args:
        warmup_epochs: epochs of linear rise.
        min_share: of the peak, where the line ends.
        warmup_lr: where the rise starts, as an absolute learning rate.
    """

    def __init__(self, warmup_epochs: float, min_share: float = 0.01, warmup_lr: float = 0.0):
        super().__init__(warmup_epochs, warmup_lr)
        if not 0 <= min_share <= 1:
            raise ValueError(f"WarmupLine got min_share={min_share}; needs a share of the peak, from 0 to 1")
        self.min_share = min_share

    def __call__(self, epoch: float, epochs: float, lr: float) -> float:
        """The share of the peak `lr` in force at a (fractional) epoch of a training of `epochs`."""
        if epoch < self.warmup_epochs:
            return self.rise(epoch, lr)
        return 1 - (1 - self.min_share) * (epoch - self.warmup_epochs) / (epochs - self.warmup_epochs)


class RunningCosine(_Warmup):
    """Half a cosine over the whole training, of which the warm-up hides the start: SimMIM's Swin, and all its fine-tuning.

    Just after the warm-up the rate is below the peak (timm 0.4.12, scheduler/cosine_lr.py).

    Args:
        warmup_epochs: epochs of linear rise.
        min_lr: where the cosine ends, as an absolute learning rate.
        warmup_lr: where the rise starts, likewise.
    """

    def __init__(self, warmup_epochs: float, min_lr: float = 0.0, warmup_lr: float = 0.0):
        super().__init__(warmup_epochs, warmup_lr)
        self.min_lr = min_lr

    def __call__(self, epoch: float, epochs: float, lr: float) -> float:
        """The share of the peak `lr` in force at a (fractional) epoch of a training of `epochs`."""
        if epoch < self.warmup_epochs:
            return self.rise(epoch, lr)
        floor = self.min_lr / lr
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
