"""Contract of an augmentation: which parts of an image a network sees, and how they are made."""

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from mim.augment.resample import Interpolation


class Cut(NamedTuple):
    """Where one view of each image of a batch is cut out."""

    box: Tensor
    """(B, 4) int64, the crop as (x1, y1, x2, y2) in pixels of the source image."""
    flip: Tensor
    """(B,) bool, whether it is mirrored left to right."""
    corner: Tensor | None = None
    """(B, 2) int64, top and left of what is kept of the resized crop, where it has a margin."""


class OneView(ABC):
    """Recipe of one view: crops and flips, decided before any pixel is moved. It is an augmentation
    by itself.

    Attributes:
        interpolation: how a crop is resized.
        size: pixels per side of the view; null for the data set's `image_size`.
        margin: pixels per side that a crop is made larger by, to be cut off again at a `corner`.
        paints: whether `paint` changes anything; then processes that decode make the view.
        repeats: views of an image that follow each other in an epoch, of so many times fewer
            images.
    """

    interpolation: Interpolation
    size: int | None = None
    margin: int = 0
    paints: bool = False
    repeats: int = 1

    @abstractmethod
    def __call__(self, key: Tensor, size: Tensor) -> Cut:
        """Keys of images (B,), their sizes (B, 2) as (height, width) -> where the view is cut out
        of each.
        """

    def paint(self, image: Tensor, key: int) -> Tensor:
        """A view (3, H, W) uint8, not yet mirrored, and the key of the view -> the same with other
        colours.
        """
        return image

    @property
    def views(self) -> "tuple[OneView, ...]":
        """This one alone."""
        return (self,)


@runtime_checkable
class Augmentation(Protocol):
    """What a network sees of an image: one view of it, or several."""

    interpolation: Interpolation
    """How clean images are resized where nothing else is said."""

    @property
    def views(self) -> tuple[OneView, ...]:
        """Recipes of the views, in order: of how many they are, and of what size."""


def refuse_paint(augment: Augmentation, channels: int) -> None:
    """Refuse to change colours of images that have not three channels.

    Raises:
        ValueError: where a view would be painted.
    """
    if channels != 3 and any(view.paints for view in augment.views):
        raise ValueError(
            f"{type(augment).__name__} changes colours of three channels, and data.channels="
            f"{channels}; crop and flip only: augment@data.augment=crop_flip"
        )
