"""Weights of a loss's terms, and the contract of a loss of named terms."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.geometry import Geometry
from mim.optim.number import NumberSchedule, number_at
from mim.part import Part, Progress

Student = TypeVar("Student", contravariant=True)
"""What a step goes through."""
Guide = TypeVar("Guide", contravariant=True)
"""Teacher of a loss, or None where it needs none."""
Made = TypeVar("Made", covariant=True)
"""What a student makes of a batch, and the terms of a loss judge."""
_TAKEN = {"loss", *dir(nn.ModuleDict())}  # the sum is logged as train/loss; a module's own names


@runtime_checkable
class Undecayed(Protocol):
    """Term with parameters that weight decay leaves alone."""

    def no_weight_decay(self) -> set[str]:
        """Names of those parameters."""


class NamedTerms(Part, nn.Module, Generic[Student, Guide, Made]):
    """Loss of named terms, each with a weight. A term of weight 0 is still computed and logged, but
    teaches nothing.

    Args:
        term: by name.
        weight: of each, by the same names; a number, or a schedule of it (`mim.optim.number`).

    Raises:
        ValueError: where names do not go together.
    """

    in_force: Tensor
    compared: Mapping[str, str] = MappingProxyType({})
    """Terms that compare vectors of whole images, and the module that a teacher projects with for
    each.
    """

    def __init__(self, term: Mapping[str, nn.Module], weight: Mapping[str, float | NumberSchedule]):
        super().__init__()
        if set(term) != set(weight):
            raise ValueError(
                f"{type(self).__name__} got the terms {', '.join(term)} and weights for "
                f"{', '.join(weight)}; "
                "each term needs one weight under its own name, e.g. loss.weight.consistency=1"
            )
        for name in term:
            if name in _TAKEN or not name.isidentifier():
                raise ValueError(
                    f"a term of a loss cannot be called {name!r}; give it another name, in letters"
                )
        self.term, self.weight = nn.ModuleDict(term), dict(weight)
        self.scheduled = [
            name for name, each in self.weight.items() if isinstance(each, NumberSchedule)
        ]
        self.register_buffer("in_force", torch.zeros(len(self.scheduled)), persistent=False)
        self.begin_step(Progress(0, 1, 1))

    def begin_step(self, progress: Progress) -> None:
        """Set the weights that change; a tensor holds them, so that compiled code is not compiled
        again.
        """
        for place, name in enumerate(self.scheduled):
            self.in_force[place].fill_(number_at(self.weight[name], progress))

    @property
    def needs_teacher(self) -> bool:
        """Whether a term compares with what a teacher makes; known once `fit` was called."""
        raise NotImplementedError

    def fit(self, geometry: Geometry) -> dict[str, int | None]:
        """Get ready for the encoder's images -> values of each prediction, by its term; None is for
        the encoder's width.
        """
        raise NotImplementedError

    def of_step(
        self, model: Student, batch: Batch, teacher: Guide
    ) -> tuple[dict[str, Tensor], Made]:
        """Each term of what a model makes of a batch, without its weight: scalars by name; and what
        it made.
        """
        raise NotImplementedError

    def no_weight_decay(self) -> set[str]:
        """Names of parameters of terms that weight decay leaves alone."""
        terms = {name: term for name, term in self.term.items() if isinstance(term, Undecayed)}
        return {
            f"term.{name}.{each}" for name, term in terms.items() for each in term.no_weight_decay()
        }

    def weigh(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Scalars by name -> their weighted sum."""
        return torch.stack([self._weight(name) * term for name, term in terms.items()]).sum()

    def _weight(self, name: str) -> float | Tensor:
        """Weight in force."""
        weight = self.weight[name]
        return (
            weight if isinstance(weight, float | int) else self.in_force[self.scheduled.index(name)]
        )
