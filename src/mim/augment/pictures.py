"""Crops of decoded pictures of many sizes in one uint8 batch, on a CPU.

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
from mim.geometry import pair
from mim.ranges import Size


def resize_picture(image: Tensor, size: Sequence[int], interpolation: Interpolation) -> Tensor:
    """Picture (C, H, W) resized to (C, height, width), antialiased, in the type that it has."""
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
            resize_picture(
                picture[:, y1:y2, x1:x2], larger(side, recipe.margin), recipe.interpolation
            )
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
