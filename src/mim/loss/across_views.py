"""Loss of terms that compare what a student and a teacher make of several views of each image."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from mim.batch import Batch
from mim.geometry import Geometry
from mim.loss.weights import NamedTerms
from mim.optim.number import NumberSchedule
from mim.views import Seen, Shown


@runtime_checkable
class ViewTerm(Protocol):
    """Term that compares views: `mim.loss.distillation` has two."""

    out: int | None
    """P, values that student and teacher make for it; None for the encoder's width."""

    def __call__(self, made: Shown, seen: Seen) -> Tensor:
        """What a student made of all views, and a teacher of those that it saw -> scalar."""


@runtime_checkable
class SeesViews(Protocol):
    """Student of such a loss."""

    @property
    def attends(self) -> bool:
        """Whether what it hides goes by what the teacher attends to."""

    def __call__(self, batch: Batch, attention: Tensor | None = None) -> Shown:
        """Views of B images, and the teacher's attention to the first (V * B, A, rows, columns) ->
        what it makes of them.
        """


class ViewTeacher(Protocol):
    """Teacher of such a loss."""

    def __call__(self, batch: Batch, attends: bool = False) -> Seen:
        """Views of B images -> what it makes of those that it sees, and its attention where that is
        asked for.
        """


class AcrossViews(NamedTerms[SeesViews, ViewTeacher, Shown]):
    """Sum of terms times weights, each of what two networks make of the views of an image.

    The teacher looks first: what the student sees may go by its attention.

    Args:
        term: by name: `cls`, and `patch` where patches are predicted.
        weight: of each, by the same names; a number, or a schedule of it (`mim.optim.number`).

    Raises:
        ValueError: where names do not go together, or a term compares no views.
    """

    needs_teacher = True

    def __init__(self, term: Mapping[str, nn.Module], weight: Mapping[str, float | NumberSchedule]):
        super().__init__(term, weight)
        for name, each in term.items():
            if not isinstance(each, ViewTerm):
                raise ValueError(
                    f"loss.term.{name} is a {type(each).__name__}, which compares no views; see "
                    "mim.loss.distillation"
                )

    def fit(self, geometry: Geometry) -> dict[str, int | None]:
        """Values that student and teacher make for each term."""
        return {name: term.out for name, term in self.term.items() if isinstance(term, ViewTerm)}

    def of_step(
        self, model: SeesViews, batch: Batch, teacher: ViewTeacher
    ) -> tuple[dict[str, Tensor], Shown]:
        """Each term without its weight, and what the student made."""
        seen = teacher(batch, model.attends)
        made = model(batch, seen.attention)
        return {name: term(made, seen) for name, term in self.term.items()}, made
