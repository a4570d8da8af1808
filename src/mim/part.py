"""The life of whatever changes while a model is trained: a scheduled masker, a ratio drawn for each step, a teacher."""

from torch import nn


class Part:
    """Module that is told how the training goes. `Training` tells all of them, in one place; each overrides what it needs.

    In order: `begin` once, before the first step of a training, and not when it is resumed; `begin_epoch` and `begin_step`
    before an epoch and a step, and again where a resumed run goes on; `after_step` after the optimiser's step, before anyone
    saves. What a part learns by `begin` and `after_step` belongs in its parameters or buffers, so that a checkpoint has it.
    """

    def begin(self, student: nn.Module) -> None:
        """The weights of the model are there, and nothing is learned yet."""

    def begin_epoch(self, epoch: int) -> None:
        """An epoch begins; the first is 0."""

    def begin_step(self, step: int) -> None:
        """A step of the optimiser begins; the first is 0."""

    def after_step(self, student: nn.Module, progress: float) -> None:
        """The optimiser has changed the model; `progress` is the share of all steps that are done."""


def parts_of(module: nn.Module) -> list[Part]:
    """Every part in a module."""
    return [part for part in module.modules() if isinstance(part, Part)]
