"""What makes the groups of an optimiser follow their schedules, step by step."""

from collections.abc import Callable

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mim.optim.number import NumberSchedule
from mim.optim.schedule import Schedule
from mim.part import Progress


class Follow(LambdaLR):
    """Learning rate and weight decay of each group, set before every optimiser step.

    Args:
        optimizer: its groups start at their own peaks.
        schedule: of the learning rate.
        lr: the highest of the peaks.
        steps: of the whole training.
        passes: steps of an epoch.
        weight_decay: its schedule, for the groups that are decayed; None for a decay that stays.

    Raises:
        ValueError: where a decay is to change and no group has one.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Schedule,
        lr: float,
        steps: int,
        passes: int,
        weight_decay: NumberSchedule | None = None,
    ):
        start = Progress(0, steps, passes)

        def share(peak: float) -> Callable[[int], float]:
            return lambda step: schedule(start._replace(step=max(0, step - schedule.late)), peak)

        self._decay, self._start = weight_decay, start
        self._settings = [
            {k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups
        ]
        self._decayed = [group["weight_decay"] > 0 for group in optimizer.param_groups]
        if weight_decay and not any(self._decayed):
            raise ValueError(
                "weight_decay_schedule starts at weight_decay=0, which decays nothing; e.g. "
                "weight_decay=0.04"
            )
        super().__init__(
            optimizer,
            [share(group["lr"] if schedule.per_group else lr) for group in optimizer.param_groups],
        )

    def get_lr(self) -> list[float | Tensor]:
        """Learning rates of the step to come; the weight decay is set on the way."""
        self._set_decay()
        return super().get_lr()

    def _set_decay(self) -> None:
        if self._decay:
            decay = self._decay(self._start._replace(step=self.last_epoch))
            for group, decayed in zip(self.optimizer.param_groups, self._decayed, strict=True):
                if decayed:
                    group["weight_decay"] = decay

    def rates(self, step: int) -> list[float]:
        """Learning rate of each group after so many steps."""
        return [
            float(peak) * share(step)
            for peak, share in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]

    def begin_at(self, step: int) -> None:
        """Take steps as done, and set the groups as they are then."""
        self.last_epoch = step
        self._set_decay()
        self._last_lr = [*self.rates(step)]
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = lr

    def state_dict(self) -> dict[str, int]:
        """How many steps were done: all else follows from the settings."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on after so many steps, with the settings of now: an optimiser's own state brings back
        those it was saved with.
        """
        for group, settings in zip(self.optimizer.param_groups, self._settings, strict=True):
            group.update(settings)
            group["initial_lr"] = settings["lr"]
        self.begin_at(state_dict["last_epoch"])
