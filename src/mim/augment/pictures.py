"""Turn decoded pictures of many sizes into one uint8 batch, on a CPU.

Resizing stays in uint8, where torchvision's antialiased kernel is vectorised: half the speed of the
pipeline.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mim.augment.augmentation import Augmentation, Cut, OneView
from mim.augment.reduced import Sides, divisor_of, in_reduced
from mim.augment.resample import Interpolation
from mim.batch import View
from mim.draw import view_key
from mim.geometry import by, pair
from mim.ranges import Size

LONGEST_STRIP = 32  # times as long as wide, of what is resized by its short side


def _resize(image: Tensor, size: Sequence[int], interpolation: Interpolation) -> Tensor:
    return F.resize(image, list(size), InterpolationMode(interpolation), antialias=True)


class Cropped:
    """Each picture cropped to the box of each of its views, resized, and painted on where the
    augmentation does that.

    Args:
        augment: says what views there are, where they lie and how they are made.
        size: pixels per side of the views that say none themselves, or (height, width).
    """

    def __init__(self, augment: Augmentation, size: Size):
        self.augment, self.size = augment, size

    def __str__(self) -> str:
        return str(self.augment)

    def __call__(
        self, pictures: Sequence[Tensor], key: Tensor, sizes: Tensor | None = None
    ) -> tuple[View, ...]:
        """Pictures (C, H, W), uint8 or float32 in 0..255, and their keys (B,) -> views (B, C, H,
        W), not yet mirrored.
        """
        whole = [picture.shape[1:] for picture in pictures]
        size = torch.tensor(whole) if sizes is None else sizes  # (B, 2)
        return tuple(
            self._view(recipe, pictures, recipe(key, size), view_key(key, number), size)
            for number, recipe in enumerate(self.augment.views)
        )

    def divisor(self, size: Sides, key: Tensor) -> int:
        """By what the sides of a picture can be divided before it is cropped: 1, 2, 4 or 8.

        Args:
            size: of the picture.
            key: (1,).
        """
        if min(size) < 4 * min(pair(self.size)):
            return 1
        found = []
        for recipe in self.augment.views:
            x1, y1, x2, y2 = recipe(key, torch.tensor([size])).box[0].tolist()
            made = larger(pair(recipe.size or self.size), recipe.margin)
            found.append(divisor_of(Sides(y2 - y1, x2 - x1), Sides(*made)))
        return min(found)

    def _view(
        self, recipe: OneView, pictures: Sequence[Tensor], cut: Cut, key: Tensor, size: Tensor
    ) -> View:
        side = pair(recipe.size or self.size)
        heights = zip(cut.box.tolist(), pictures, size[:, 0].tolist(), strict=True)
        boxes = [in_reduced(box, picture, height) for box, picture, height in heights]
        images = [
            _resize(picture[:, y1:y2, x1:x2], larger(side, recipe.margin), recipe.interpolation)
            for picture, (x1, y1, x2, y2) in zip(pictures, boxes, strict=True)
        ]
        return finished(recipe, images, cut, side, key, size)


def larger(side: tuple[int, int], margin: int) -> tuple[int, int]:
    """Height and width of a crop with its margin."""
    return side[0] + margin, side[1] + margin


def finished(
    recipe: OneView,
    images: Sequence[Tensor],
    cut: Cut,
    side: tuple[int, int],
    key: Tensor,
    size: Tensor,
) -> View:
    """View of crops that are resized: the margin cut off, then painted on; what is left to do is to
    mirror it.

    Args:
        recipe: of the view.
        images: B crops (C, height + margin, width + margin); uint8 where the recipe paints.
        cut: where they come from.
        side: height and width of the view.
        key: of the view, (B,).
        size: of the source images, (B, 2) as (height, width).
    """
    if cut.corner is not None:
        corners = zip(images, cut.corner.tolist(), strict=True)
        images = [
            image[:, top : top + side[0], left : left + side[1]] for image, (top, left) in corners
        ]
    if recipe.paints:
        images = [image if image.dtype == torch.uint8 else image.round().byte() for image in images]
        images = [recipe.paint(image, one) for image, one in zip(images, key.tolist(), strict=True)]
    return View(torch.stack(list(images)), _fractions(cut, side, recipe.margin, size), cut.flip)


def _fractions(cut: Cut, side: tuple[int, int], margin: int, size: Tensor) -> Tensor:
    """What is kept of boxes, (B, 4) in fractions of images of sizes (B, 2): a window in pixels with
    a margin, or all.
    """
    box = cut.box / size.flip(1).repeat(1, 2)
    if cut.corner is None:
        return box
    across_and_down = torch.tensor([side[1], side[0]])
    start = cut.corner.flip(1) / (across_and_down + margin)  # (B, 2)
    first, length = box[:, :2], box[:, 2:] - box[:, :2]
    return torch.cat(
        [
            first + length * start,
            first + length * (start + across_and_down / (across_and_down + margin)),
        ],
        1,
    )


class Centred:
    """Each picture resized by its short side, then its centre: what features are judged on.

    An oblong centre is cut out of the picture resized to cover a frame of the same shape, whose
    short side is `short`.

    Args:
        size: pixels per side of the result, or (height, width).
        short: pixels of the short side before the centre is cut out; null for 256 where it has 224,
            as MAE (util/datasets.py:46-50) and SimMIM (data/data_finetune.py:94-99) have it,
            rounded down.
        interpolation: how it is resized.
    """

    def __init__(
        self, size: Size, short: int | None = None, interpolation: Interpolation = "bicubic"
    ):
        self.size, self.interpolation = pair(size), interpolation
        self.short = short or min(self.size) * 256 // 224

    def __str__(self) -> str:
        centre = self.size[0] if self.size[0] == self.size[1] else by(self.size)
        return (
            f"the centre of {centre} after the short side is resized to {self.short}, "
            f"{self.interpolation}"
        )

    def divisor(self, size: Sides, key: Tensor) -> int:
        """By what the sides of a picture can be divided before it is resized: 1, 2, 4 or 8."""
        return divisor_of(size, Sides(*self._resized(*size)))

    def __call__(
        self, pictures: Sequence[Tensor], key: Tensor, sizes: Tensor | None = None
    ) -> tuple[View]:
        """Pictures (C, H, W) and their keys (B,) -> one view of each; whatever they were reduced
        from.
        """
        whole = [picture.shape[1:] for picture in pictures] if sizes is None else sizes.tolist()
        middles = [_middle(picture) for picture in pictures]
        resized = [
            _resize(
                each,
                self._resized(*(size if each is picture else each.shape[1:])),
                self.interpolation,
            )
            for each, picture, size in zip(middles, pictures, whole, strict=True)
        ]
        image = torch.stack([F.center_crop(picture, list(self.size)) for picture in resized])
        height, width = torch.tensor([self._resized(*size) for size in whole]).unbind(1)
        (tall, wide), sides = self.size, (height, width)
        # as torchvision rounds
        top, left = (
            ((side - kept) / 2).round() for side, kept in zip(sides, self.size, strict=True)
        )
        box = torch.stack(
            [left / width, top / height, (left + wide) / width, (top + tall) / height], 1
        )
        return (View(image, box, torch.zeros_like(key, dtype=torch.bool)),)

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width that a picture is resized to cover before its centre is cut out."""
        height, width = (side * self.short // min(self.size) for side in self.size)
        return height, width

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a whole picture once it is resized, as torchvision rounds them."""
        tall, wide = self.frame
        if tall * width >= wide * height:
            return tall, max(wide, tall * width // height)
        return max(tall, wide * height // width), wide


def _middle(picture: Tensor) -> Tensor:
    """What the centre of a very long strip is cut from; resized by its short side, the whole of it
    may fill any memory.
    """
    longest = LONGEST_STRIP * min(picture.shape[1:])
    if max(picture.shape[1:]) <= longest:
        return picture
    return F.center_crop(picture, [min(side, longest) for side in picture.shape[1:]])
