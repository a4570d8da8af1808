"""Contract of a view: which part of an image a network sees, and how it is resized."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from mim.augment.resample import Interpolation


@runtime_checkable
class View(Protocol):
    """Crops and flips, decided before any pixel is moved."""

    interpolation: Interpolation
    """How a crop is resized."""

    def __call__(self, key: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (B,), sizes (B, 2) as (height, width) -> pixel boxes (B, 4) as (x1, y1, x2, y2), and flips (B,)."""
