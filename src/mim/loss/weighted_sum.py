"""Loss of named terms, each with its weight."""

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor, nn

from mim.batch import Batch
from mim.geometry import Geometry
from mim.loss.term import Comparison, Relation, Term
from mim.loss.weights import NamedTerms
from mim.masker.split import Split
from mim.optim.number import NumberSchedule
from mim.teacher.teacher import Teacher


class Predicted(Protocol):
    """Predictions of masked patches, and vectors of whole images."""

    @property
    def predictions(self) -> Mapping[str, Tensor]:
        """By the term that they are made for, each (B, K, Lm, P)."""

    @property
    def split(self) -> Split:
        """With `masked` (B, K, Lm)."""

    @property
    def vectors(self) -> Mapping[str, Tensor]:
        """By the term that compares them, each (B, K, P)."""


Reconstructs = Callable[[Batch], Predicted]
"""Student of such a loss."""


class WeightedSum(NamedTerms[Reconstructs, Teacher | None, Predicted]):
    """Sum of terms times weights. A term of weight 0 is still computed and logged, but teaches
    nothing.

    A term predicts what it is compared with (`Term`), looks at what another one predicts
    (`Relation`), or compares whole images (`Comparison`).

    Args:
        term: by name.
        weight: of each, by the same names; a number, or a schedule of it (`mim.optim.number`).

    Raises:
        ValueError: where names do not go together, or nothing is predicted.
    """

    def __init__(self, term: Mapping[str, nn.Module], weight: Mapping[str, float | NumberSchedule]):
        super().__init__(term, weight)
        self.predicting = [name for name, each in term.items() if isinstance(each, Term)]
        """Names of the terms that predict, in their order."""
        if not self.predicting:
            raise ValueError(
                f"{', '.join(type(each).__name__ for each in term.values())} alone does not say "
                "how many values a patch "
                "has; add it to a loss that does, as loss=emae does (there loss.weight.pixel=0 "
                "leaves it alone)"
            )
        self._check_shared()
        self.compared = {
            name: each.through for name, each in term.items() if isinstance(each, Comparison)
        }
        """Terms that compare whole images, and the module that a teacher projects with for each."""
        self.of = {
            name: name if isinstance(each, Term) else self._looked_at(name, each)
            for name, each in term.items()
            if name not in self.compared
        }

    @classmethod
    def of_one(cls, loss: nn.Module) -> "WeightedSum":
        """A sum as it is; a term alone as the sum of it, called as the class of its target is, in
        lower case.
        """
        name = loss.name if isinstance(loss, Term) else type(loss).__name__.lower()
        return loss if isinstance(loss, WeightedSum) else cls({name: loss}, {name: 1.0})

    def fit(self, geometry: Geometry) -> dict[str, int | None]:
        """Build the targets for the encoder's images -> values per patch of each prediction, by its
        term.

        None is for the encoder's width.
        """
        for name in sorted(self.of, key=lambda name: self.made_by(name) != name):
            each = self.term[name]
            assert isinstance(each, Term | Relation)
            if isinstance(each, Term) and each.like is not None:
                source = self.term[each.like]
                assert isinstance(source, Term)
                each.take_target(source.target)
            each.fit(geometry)
        return self.target_dims

    def made_by(self, name: str) -> str:
        """The term whose target a term is compared with: itself, or the one that it names."""
        each = self.term[name]
        return each.like or name if isinstance(each, Term) else name

    @property
    def target_dims(self) -> dict[str, int | None]:
        """Values per patch of each prediction, by the term that it is made for; known once targets
        are built.
        """
        return {name: each.target_dim for name, each in self.term.items() if isinstance(each, Term)}

    @property
    def needs_teacher(self) -> bool:
        """Whether a target is made of a teacher's tokens, or images are compared with; known once
        targets are built.
        """
        return bool(self.compared) or any(
            isinstance(each, Term) and each.needs_teacher for each in self.term.values()
        )

    def _check_shared(self) -> None:
        """A term that has another one's target names one that has its own."""
        own = [name for name, each in self.term.items() if isinstance(each, Term) and not each.like]
        for name in self.predicting:
            if (source := self.made_by(name)) not in own:
                raise ValueError(
                    f"loss.term.{name}.target={source} names no term that has a target of its own; "
                    f"allowed: {', '.join(own) or 'none here'}, or a target"
                )

    def _looked_at(self, name: str, term: nn.Module) -> str:
        """Whose prediction a term that makes none looks at."""
        if not isinstance(term, Relation):
            raise ValueError(
                f"the term {name} is a {type(term).__name__}, which predicts nothing and does not "
                "say whose prediction it "
                "looks at; a term is a mim.loss.term.Term, or has the name of one in its `of`"
            )
        if term.of not in self.predicting:
            raise ValueError(
                f"loss.term.{name}.of={term.of} names no term that predicts; allowed: "
                f"{', '.join(self.predicting)}"
            )
        return term.of

    def terms(
        self,
        predictions: Mapping[str, Tensor],
        image: Tensor,
        split: Split,
        teacher: Teacher | None = None,
    ) -> dict[str, Tensor]:
        """Each term of patches without its weight.

        Args:
            predictions: (B, K, Lm, P) each, by the term that they are made for.
            image: (B, C, H, W).
            split: with `masked` (B, K, Lm).
            teacher: for the targets that follow one.

        Returns:
            Scalars by name; those that compare whole images are left out.
        """
        values: dict[str, Tensor] = {}  # not dict[...](), which no compiled step can call
        found = {}
        for name, of in self.of.items():
            each, source = self.term[name], self.made_by(name)
            if isinstance(each, Term):
                if source not in values:
                    values[source] = each.values(image, split, teacher)
                found[name] = each.compare(predictions[of], values[source], split)
            else:
                found[name] = each(predictions[of], image, split)
        return found

    def of_step(
        self, model: Reconstructs, batch: Batch, teacher: Teacher | None
    ) -> tuple[dict[str, Tensor], Predicted]:
        """Each term of what a model makes of a batch, without its weight, and what it made."""
        made = model(batch)
        terms = self.terms(made.predictions, batch.image, made.split, teacher)
        return terms | self.comparisons(made.vectors, batch, teacher), made

    def comparisons(
        self, vectors: Mapping[str, Tensor], batch: Batch, teacher: Teacher | None
    ) -> dict[str, Tensor]:
        """Each term of whole images without its weight: vectors (B, K, P) by term -> scalars by
        name.

        Raises:
            ValueError: where there is no teacher to compare with.
        """
        if self.compared and teacher is None:
            raise ValueError(
                f"{', '.join(self.compared)} compares images with what a teacher makes of them; "
                "give one"
            )
        return {name: self.term[name](vectors[name], batch, teacher) for name in self.compared}

    def forward(
        self,
        predictions: Mapping[str, Tensor],
        image: Tensor,
        split: Split,
        teacher: Teacher | None = None,
    ) -> Tensor:
        """Predictions by term, (B, K, Lm, P) each, (B, C, H, W) and the split -> scalar."""
        return self.weigh(self.terms(predictions, image, split, teacher))
