"""The life of whatever changes while a model is trained: a scheduled masker, a ratio drawn for each
step, a teacher.
"""

from typing import Any, NamedTuple

from torch import nn

Saved = dict[str, Any]
"""Content of a checkpoint, by the names that Lightning and the parts of a run give."""


class Progress(NamedTuple):
    """Progress of a training at one of its optimiser steps: what schedules of numbers go by."""

    step: int
    """Optimiser steps done before this one; that of the first is 0."""
    steps: int
    """Optimiser steps of the whole training."""
    steps_per_epoch: int

    @property
    def share(self) -> float:
        """Share of all steps that were done before this one: from 0 to just below 1."""
        return self.step / self.steps

    @property
    def epoch(self) -> float:
        """Epochs done before this step, a fraction within one."""
        return self.step / self.steps_per_epoch

    @property
    def epoch_number(self) -> int:
        """Number of the epoch that this step is in; that of the first is 0."""
        return self.step // self.steps_per_epoch

    @property
    def epochs(self) -> float:
        """Epochs of the whole training."""
        return self.steps / self.steps_per_epoch


class Part:
    """Module that is told how the training goes. `Training` tells all of them, in one place; each
    overrides what it needs.

    In order: `begin` once, before the first step of a training, and not when it is resumed;
    `begin_epoch` and `begin_step` before an epoch and a step, and again where a resumed run goes
    on; `before_step` before the optimiser steps, when gradients are there; `after_step` after it,
    before anyone saves. What a part learns by `begin` and `after_step` belongs in its parameters or
    buffers, so that a checkpoint has it.
    """

    def begin(self, student: nn.Module) -> None:
        """The weights of the model are there, and nothing is learned yet."""

    def begin_epoch(self, epoch: int) -> None:
        """An epoch begins; the first is 0."""

    def begin_step(self, progress: Progress) -> None:
        """A step of the optimiser begins."""

    def before_step(self, student: nn.Module) -> None:
        """The gradients of a step are there, of all processes and accumulated batches, and cut
        down.
        """

    def after_step(self, student: nn.Module, progress: Progress) -> None:
        """The optimiser has changed the model; `progress` is that of the step which it made."""


def parts_of(module: nn.Module) -> list[Part]:
    """Every part in a module."""
    return [part for part in module.modules() if isinstance(part, Part)]
