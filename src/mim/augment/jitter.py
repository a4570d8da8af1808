"""Large-scale jitter: mirror, resize by a factor drawn from a wide range, cut out a square of fixed
size (arXiv 2012.07177).
"""

from typing import Literal, NamedTuple

from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mim.dense import IGNORE
from mim.draw import FLIP, JITTER, uniform
from mim.ranges import Share, Span, in_range


class Placement(NamedTuple):
    """Where the pixels of an image go: it is mirrored, resized, cut at an offset, and padded."""

    resized: tuple[int, int]
    """Height and width of the whole image once it is resized."""
    offset: tuple[int, int]
    """First row and column of that which are kept."""
    size: tuple[int, int]
    """Height and width of the result, padding included."""
    flip: bool

    @property
    def filled(self) -> tuple[int, int]:
        """Height and width of the result that are no padding."""
        rows, columns = (
            min(size, whole - first)
            for size, whole, first in zip(self.size, self.resized, self.offset, strict=True)
        )
        return rows, columns

    def image(self, image: Tensor) -> Tensor:
        """(3, H, W) uint8 -> (3, *size) uint8, bilinear and antialiased, padded by 0."""
        if tuple(image.shape[1:]) != self.resized:
            image = F.resize(image, list(self.resized), InterpolationMode.BILINEAR, antialias=True)
        return self._cut(image, 0)

    def label_map(self, label_map: Tensor) -> Tensor:
        """(H, W) uint8 -> (*size) uint8, of the nearest pixel, padded by `IGNORE`."""
        return self._cut(self._nearest(label_map[None]), IGNORE)[0]

    def masks(self, mask: Tensor) -> Tensor:
        """(G, H, W) bool -> (G, *size) bool, of the nearest pixel."""
        return (
            self._cut(self._nearest(mask.byte()), 0).bool()
            if len(mask)
            else mask.new_zeros(0, *self.size)
        )

    def _nearest(self, image: Tensor) -> Tensor:
        if tuple(image.shape[1:]) == self.resized:
            return image
        return F.resize(image, list(self.resized), InterpolationMode.NEAREST_EXACT)

    def _cut(self, image: Tensor, fill: int) -> Tensor:
        """Rows and columns that stay, mirrored as the whole image would be first."""
        (top, left), (rows, columns) = self.offset, self.filled
        image = image.flip(2) if self.flip else image
        image = image[:, top : top + rows, left : left + columns]
        return pad(image, (0, self.size[1] - columns, 0, self.size[0] - rows), value=fill)


class Jitter:
    """Decide how each training image is mirrored, resized and cut; the pixels are moved elsewhere.

    A factor of 1 fits the longer side of an image to the square (detectron2, ResizeScale and
    FixedSizeCrop: projects/ViTDet/configs/common/coco_loader_lsj.py); an image that does not fill
    it is padded.

    Args:
        scale: range of the factor, drawn uniformly.
        flip: probability of mirroring left to right.
        fit: what a factor of 1 fits to the square: the longer side of an image (detection), or the
            shorter (segmentation: mmsegmentation's RandomResize of 2048 x 512 by 0.5 to 2, short
            sides of 256 to 1,024).
    """

    uniforms = 3
    """Draws for each image, beside the one that mirrors it."""

    @in_range
    def __init__(
        self,
        scale: Span = (0.1, 2.0),
        flip: Share = 0.5,
        fit: Literal["longer", "shorter"] = "longer",
    ):
        self.scale, self.flip, self.fit = (float(scale[0]), float(scale[1])), flip, fit

    def __str__(self) -> str:
        low, high = self.scale
        return (
            f"{self.fit} side resized by {low:g} to {high:g}, a square of it, {self.flip:.0%} "
            "mirrored"
        )

    def __call__(self, key: Tensor, size: tuple[int, int], side: int) -> Placement:
        """Key (), height and width of an image -> where its pixels go in a square of `side`
        pixels.
        """
        factor, y, x = uniform(key[None], self.uniforms, JITTER)[0].tolist()
        low, high = self.scale
        longest = max(size) if self.fit == "longer" else min(size)
        ratio = side / longest * (low + (high - low) * factor)
        height, width = (max(1, int(length * ratio + 0.5)) for length in size)
        offset = tuple(
            int(max(0, length - side) * u + 0.5) for length, u in ((height, y), (width, x))
        )
        flip = bool(uniform(key[None], 1, FLIP)[0, 0] < self.flip)
        return Placement((height, width), (offset[0], offset[1]), (side, side), flip)


def unmoved(size: tuple[int, int]) -> Placement:
    """Placement that leaves an image of (height, width) as it is."""
    return Placement(size, (0, 0), size, False)


def fitted_to(size: tuple[int, int], short: int, longest: int) -> Placement:
    """Placement of a whole image whose short side is resized to `short`, or whose long side to
    `longest` where that is less.
    """
    ratio = min(short / min(size), longest / max(size))
    height, width = (max(1, int(length * ratio + 0.5)) for length in size)
    return Placement((height, width), (0, 0), (height, width), False)


def centred_in(size: tuple[int, int], side: int) -> Placement:
    """Placement of the centre of an image whose short side is resized to `side`."""
    resized = fitted_to(size, side, 2**31).resized
    return Placement(
        resized, ((resized[0] - side) // 2, (resized[1] - side) // 2), (side, side), False
    )
