"""Contracts of what a data set holds: pictures in batches, and the splits of them."""

from typing import NamedTuple, Protocol

from torch import Tensor

from mim.batch import Batch, View
from mim.data.sampler import Rows


class Pictures(Protocol):
    """A data set that makes whole batches: uint8 images where they are stored, the rest on the
    training device.
    """

    wants_workers: bool
    label: Tensor

    def __len__(self) -> int: ...

    def __str__(self) -> str:
        """What is shown of an image."""

    def __getitem__(self, rows: Rows) -> Batch: ...

    def finish(self, view: View) -> Tensor:
        """Images of a view (B, C, H, W) -> what is left to do -> (B, C, size, size) in 0..255."""


class Splits(NamedTuple):
    """The same training pictures augmented and whole, those held out, and those a probe learns
    from.
    """

    train: Pictures
    unaugmented: Pictures
    """With the same indices, nothing cut off and nothing mirrored."""
    val: Pictures
    bank: Pictures
    """The training pictures as held-out ones are shown, or others that have labels."""
    classes: list[str]
    labelled: Pictures | None = None
    """Training pictures with labels, augmented, where those of `train` have none."""
