"""Schedules of any number over a training: weight decay, momentum of a teacher, ratio of a mask,
temperature.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, Protocol, runtime_checkable

from mim.part import Part, Progress
from mim.ranges import Count, NonNegativeInt, Positive


@runtime_checkable
class NumberSchedule(Protocol):
    """Value of a number at each optimiser step."""

    def __call__(self, progress: Progress) -> float:
        """Progress of a training -> value in force at that step."""


Number = float | NumberSchedule
"""A number that stays, or one that changes."""


def number_at(number: Number, progress: Progress) -> float:
    """Value of a number at a step."""
    return number if isinstance(number, float | int) else number(progress)


def describe_number(number: Number, steps: int, steps_per_epoch: int) -> str:
    """A number at the first and at the last step of a training, in words."""
    first, last = (
        number_at(number, Progress(step, steps, steps_per_epoch)) for step in (0, steps - 1)
    )
    if not isinstance(number, NumberSchedule):
        return f"{first:g}"
    return f"{first:.6g} to {last:.6g} ({type(number).__name__})"


class Changing(Part):
    """Part with numbers that may change from step to step.

    Attributes:
        schedules: of the numbers that change, by name.
    """

    schedules: dict[str, NumberSchedule]


class Varying(Changing):
    """Part with numbers that may change from step to step.

    A subclass gives them to `vary` when it is built and reads each as its own attribute. A value
    follows from the step alone, so a resumed run has it without anything saved.

    Attributes:
        schedules: of the numbers that change, by name.
    """

    schedules: dict[str, NumberSchedule]

    def vary(self, **numbers: Number) -> None:
        """Set numbers that are fixed for good, and the others as at the first step of a training.

        Raises:
            ValueError: where `check_numbers` refuses them.
        """
        self.schedules = {
            name: number for name, number in numbers.items() if isinstance(number, NumberSchedule)
        }
        self._ahead = bool(self.schedules)
        self._set({name: number_at(number, Progress(0, 1, 1)) for name, number in numbers.items()})

    def check_numbers(self) -> None:
        """Refuse numbers that cannot be, by a ValueError: asked whenever they are set."""

    def begin_step(self, progress: Progress) -> None:
        """Set the numbers of this step; before the first one, see that the last one's are allowed.

        Raises:
            ValueError: where `check_numbers` refuses them.
        """
        if self._ahead:
            self._ahead = False
            self._set_at(progress._replace(step=progress.steps - 1))
        self._set_at(progress)

    def _set_at(self, progress: Progress) -> None:
        if self.schedules:
            self._set({name: schedule(progress) for name, schedule in self.schedules.items()})

    def _set(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self.check_numbers()


def described_schedules(parts: Iterable[Part], steps: int, steps_per_epoch: int) -> list[str]:
    """Where each number that changes begins and ends, in words."""
    return [
        f"{name} of {type(part).__name__} {describe_number(schedule, steps, steps_per_epoch)}"
        for part in parts
        if isinstance(part, Changing)
        for name, schedule in part.schedules.items()
    ]


class Cosine:
    """Number by half a cosine over all steps: momentum of BYOL (arXiv 2006.07733), DINO, iBOT,
    CMAE; weight decay of DINO, iBOT.

    Args:
        start: at the first step.
        end: where it would be after the last step.
        stretch: length of the cosine over that of the training; of MSN's weight decay 1.25, so that
            it ends before `end`.
        ahead: whether a step has the value of the step after, as weight decays of I-JEPA and MSN.
    """

    def __init__(self, start: float, end: float, stretch: Positive = 1.0, ahead: bool = False):
        self.start, self.end, self.stretch, self.ahead = start, end, stretch, ahead

    def __call__(self, progress: Progress) -> float:
        """Value at a step (iBOT, utils.py: cosine_scheduler; I-JEPA, src/utils/schedulers.py:
        CosineWDSchedule).
        """
        share = (progress.step + self.ahead) / progress.steps
        return self.end + (self.start - self.end) * 0.5 * (
            1 + math.cos(math.pi * share / self.stretch)
        )


class Lines:
    """Number that goes in straight lines between points, and stays where the last of them is.

    Args:
        values: at the points.
        epochs: of the points, ascending from 0; half an epoch is 0.5.
        change: at every `step` (data2vec), or once at the beginning of an `epoch` (BootMAE).

    Raises:
        ValueError: where points and values do not go together.
    """

    def __init__(
        self,
        values: Sequence[float],
        epochs: Sequence[float],
        change: Literal["step", "epoch"] = "step",
    ):
        if (
            len(values) != len(epochs)
            or not values
            or epochs[0] != 0
            or any(a >= b for a, b in pairwise(epochs))
        ):
            raise ValueError(
                f"Lines got values={list(values)}, epochs={list(epochs)}; needs as many epochs as "
                "values, ascending "
                "from 0, e.g. values=[0.999,0.9999] epochs=[0,100]"
            )
        self.values, self.epochs, self.change = list(values), list(epochs), change

    def __call__(self, progress: Progress) -> float:
        """Value at a step."""
        epoch = progress.epoch if self.change == "step" else progress.epoch_number
        after = bisect_right(self.epochs, epoch)
        if after == len(self.epochs):
            return self.values[-1]
        (left, right), (low, high) = (
            self.epochs[after - 1 : after + 1],
            self.values[after - 1 : after + 1],
        )
        return low + (high - low) * (epoch - left) / (right - left)


class Linspace:
    """Number that changes with each epoch from `start` to `end`, and stays there: a teacher's
    temperature (DINO, iBOT).

    The first of so many epochs has `start` and the last of them `end`, as NumPy's linspace has it
    (main_dino.py: DINOLoss).

    Args:
        start: in the first epoch.
        end: from the last of the epochs on.
        epochs: of the change; with 1 the second epoch has `end` at once.
        after: epochs before it, which have `start`.
    """

    def __init__(self, start: float, end: float, epochs: Count, after: NonNegativeInt = 0):
        self.start, self.end, self.epochs, self.after = start, end, epochs, after

    def __call__(self, progress: Progress) -> float:
        """Value at a step."""
        epoch = progress.epoch_number - self.after
        if epoch >= self.epochs:
            return self.end
        return self.start + (self.end - self.start) * max(0, epoch) / max(1, self.epochs - 1)
