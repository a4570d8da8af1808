"""Contract of a source: whatever holds pictures, as an encoder is to see them."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from torch import Tensor


class Images(NamedTuple):
    """Images of a batch, and which they are: a picture that cannot be read is left out."""

    number: Tensor
    """(B,) int64."""
    image: Tensor
    """(B, 3, H, W), normalised."""


class Source(Protocol):
    """Source of images, numbered from 0."""

    def __len__(self) -> int: ...

    def path(self, number: int) -> str:
        """Path of a picture, or its number where it is no file."""

    def label(self, number: int) -> str:
        """Name of its class; empty where it has none."""

    def batches(self, numbers: Tensor, batch_size: int) -> Iterator[Images]:
        """Images of these numbers (N,), in their order."""
