"""Contract of a target: what the predictions of masked patches are compared with."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor

from mim.geometry import Geometry
from mim.masker.split import Split
from mim.teacher.teacher import Teacher


@runtime_checkable
class Target(Protocol):
    """Target values of masked patches: made from the image, without a gradient, at least in
    float32.
    """

    dim: int
    """P, values per patch."""

    def __call__(self, image: Tensor, split: Split) -> Tensor:
        """Images (B, C, H, W), split with `masked` (B, K, Lm) -> target values (B, K, Lm, P)."""


@runtime_checkable
class FollowingTarget(Protocol):
    """Target values of masked patches that are made of a teacher's tokens, where there is a
    teacher.
    """

    needs_teacher: bool
    """True: a training without a teacher is refused."""
    dim: int | None
    """P, values per patch; None for the width of the encoder."""

    def __call__(self, image: Tensor, split: Split, teacher: Teacher) -> Tensor:
        """Images (B, C, H, W), split with `masked` (B, K, Lm) -> target values (B, K, Lm, P)."""


@runtime_checkable
class Coded(Protocol):
    """Target that is the number of a code for each masked patch, of so many that predictions score:
    (B, K, Lm, 1) int64.
    """

    dim: int
    codes: int
    """How many codes there are: as many as `dim`."""


@runtime_checkable
class Paintable(Protocol):
    """Target whose predictions can be shown as pixels."""

    dim: int
    geometry: Geometry

    def to_pixels(self, prediction: Tensor, image: Tensor, masked: Tensor) -> Tensor:
        """(B, K, Lm, P), images (B, C, H, W), indices (B, K, Lm) -> pixels (B, K, Lm,
        values_per_patch).
        """


Waiting = Callable[[Geometry], Target]
"""Target that waits for the geometry of the encoder's images: its class, with its other
settings.
"""
