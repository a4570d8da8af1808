"""Term of a loss: the error of predictions against a target, or a relation between predictions of
another term.
"""

from functools import partial
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from mim.batch import Batch
from mim.geometry import Geometry
from mim.loss.error import ERRORS, Error, masked_mean, smooth_l1
from mim.masker.split import Split
from mim.precision import at_least_single
from mim.ranges import Positive
from mim.target.target import Coded, FollowingTarget, Target, Waiting
from mim.teacher.teacher import Teacher


@runtime_checkable
class Relation(Protocol):
    """Term that predicts nothing itself, and looks at what another one predicts."""

    of: str
    """Name of that one."""

    def fit(self, geometry: Geometry) -> None:
        """Take the geometry of the encoder's images, before the first call."""

    def __call__(self, prediction: Tensor, image: Tensor, split: Split) -> Tensor:
        """(B, K, Lm, P), (B, C, H, W) and the masked indices (B, K, Lm) -> scalar."""


@runtime_checkable
class Comparison(Protocol):
    """Term that compares whole images: a vector of each, which the model makes for it, with what a
    teacher makes of a view.
    """

    through: str
    """Module of the model's that the teacher averages as well, and projects with."""

    def __call__(self, vector: Tensor, batch: Batch, teacher: Teacher) -> Tensor:
        """Vectors (B, K, P) and the views that they are of -> scalar."""


class Term(nn.Module):
    """Mean error over masked patches: any target with any error.

    Args:
        target: what the predictions are compared with, or its class, where it waits for the
            geometry; or the name of another term of the sum, whose target is made once for both.
        error: "l1", "l2", "smooth_l1", "cosine", .. of the values of a patch, "cross_entropy" of
            codes (`mim.loss.error`).
        beta: where smooth_l1 turns from squares to sizes; null for 1. The other errors have none.

    Raises:
        ValueError: where an error is given a `beta` that it has not.
    """

    def __init__(
        self,
        target: Target | FollowingTarget | Waiting | str,
        error: Error = "l2",
        beta: Positive | None = None,
    ):
        super().__init__()
        if beta is not None and error != "smooth_l1":
            raise ValueError(
                f"loss.beta={beta:g} is of error=smooth_l1, and error={error} has none; "
                "loss.beta=null"
            )
        self.take_target(target)
        self.like = target if isinstance(target, str) else None
        self.error, self.beta = error, beta
        self.measure = ERRORS[error] if beta is None else partial(smooth_l1, beta=beta)

    def take_target(self, target: Target | FollowingTarget | Waiting | str) -> None:
        """Compare with this target from here on; with a name, with the target of that term."""
        self.target: Any = target
        self.needs_teacher = isinstance(target, FollowingTarget)
        """Whether the target is made of a teacher's tokens; known once it is built."""

    def fit(self, geometry: Geometry) -> None:
        """Build the target for the encoder's images, where it waits for them.

        Raises:
            ValueError: where the error is none of such a target.
        """
        if not isinstance(self.target, nn.Module):
            self.take_target(self.target(geometry))
        if isinstance(self.target, Coded) != (self.error == "cross_entropy"):
            name = type(self.target).__name__
            raise ValueError(
                f"{name} is {'numbers of codes' if isinstance(self.target, Coded) else 'values'}, "
                f"and error={self.error} is of "
                "others: target=codes goes with loss.error=cross_entropy, and every other target "
                "with another error"
            )

    @property
    def name(self) -> str:
        """Name of the class of its target, in lower case."""
        kind = self.target.func if isinstance(self.target, partial) else self.target
        return (kind if isinstance(kind, type) else type(kind)).__name__.lower()

    @property
    def target_dim(self) -> int | None:
        """P, values per patch, None for the encoder's width; known once the target is built."""
        return self.target.dim

    def forward(
        self, prediction: Tensor, image: Tensor, split: Split, teacher: Teacher | None = None
    ) -> Tensor:
        """(B, K, Lm, P), (B, C, H, W) and the masked indices (B, K, Lm) -> scalar.

        Padding counts for nothing. A target that follows a teacher is given it.
        """
        return self.compare(prediction, self.values(image, split, teacher), split)

    def compare(self, prediction: Tensor, values: Tensor, split: Split) -> Tensor:
        """Predictions and target values (B, K, Lm, P) -> scalar; padding counts for nothing."""
        return masked_mean(self.measure(at_least_single(prediction), values), split)

    def values(self, image: Tensor, split: Split, teacher: Teacher | None) -> Tensor:
        """Target values (B, K, Lm, P)."""
        if not self.needs_teacher:
            return self.target(image, split)
        if teacher is None:
            raise ValueError(
                f"{type(self.target).__name__} is made of a teacher's tokens and was given no "
                "teacher"
            )
        return self.target(image, split, teacher)
