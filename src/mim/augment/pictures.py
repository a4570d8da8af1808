"""Turn decoded pictures of many sizes into one uint8 batch, on a CPU.

Resizing stays in uint8, where torchvision's antialiased kernel is vectorised: half the speed of the pipeline.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mim.augment.augmentation import Augmentation, Cut, OneView
from mim.augment.resample import Interpolation
from mim.batch import View
from mim.draw import view_key

LONGEST_STRIP = 32  # times as long as wide, of what is resized by its short side


def _resize(image: Tensor, size: Sequence[int], interpolation: Interpolation) -> Tensor:
    return F.resize(image, list(size), InterpolationMode(interpolation), antialias=True)


class Cropped:
    """Each picture cropped to the box of each of its views, resized, and painted on where the augmentation does that.

    Args:
        augment: says what views there are, where they lie and how they are made.
        size: pixels per side of the views that say none themselves.
    """

    def __init__(self, augment: Augmentation, size: int):
        self.augment, self.size = augment, size

    def __str__(self) -> str:
        return str(self.augment)

    def __call__(self, pictures: Sequence[Tensor], key: Tensor) -> tuple[View, ...]:
        """Pictures (3, H, W) uint8 and their keys (B,) -> views (B, 3, size, size) uint8, not yet mirrored."""
        size = torch.tensor([picture.shape[1:] for picture in pictures])  # (B, 2)
        return tuple(
            self._view(recipe, pictures, recipe(key, size), view_key(key, number), size)
            for number, recipe in enumerate(self.augment.views)
        )

    def _view(self, recipe: OneView, pictures: Sequence[Tensor], cut: Cut, key: Tensor, size: Tensor) -> View:
        side = recipe.size or self.size
        larger = [side + recipe.margin] * 2
        images = [
            _resize(picture[:, y1:y2, x1:x2], larger, recipe.interpolation)
            for picture, (x1, y1, x2, y2) in zip(pictures, cut.box.tolist(), strict=True)
        ]
        return finished(recipe, images, cut, side, key, size)


def finished(recipe: OneView, images: Sequence[Tensor], cut: Cut, side: int, key: Tensor, size: Tensor) -> View:
    """View of crops that are resized: the margin cut off, then painted on; what is left to do is to mirror it.

    Args:
        recipe: of the view.
        images: B crops (3, side + margin, side + margin); uint8 where the recipe paints.
        cut: where they come from.
        side: pixels of the view.
        key: of the view, (B,).
        size: of the source images, (B, 2) as (height, width).
    """
    if cut.corner is not None:
        corners = zip(images, cut.corner.tolist(), strict=True)
        images = [image[:, top : top + side, left : left + side] for image, (top, left) in corners]
    if recipe.paints:
        images = [recipe.paint(image, one) for image, one in zip(images, key.tolist(), strict=True)]
    return View(torch.stack(list(images)), _fractions(cut, side, side + recipe.margin, size), cut.flip)


def _fractions(cut: Cut, side: int, larger: int, size: Tensor) -> Tensor:
    """What is kept of boxes, (B, 4) in fractions of images of sizes (B, 2): a window of `side` in `larger` pixels, or all."""
    box = cut.box / size.flip(1).repeat(1, 2)
    if cut.corner is None:
        return box
    start = cut.corner.flip(1) / larger  # (B, 2), across and down
    first, length = box[:, :2], box[:, 2:] - box[:, :2]
    return torch.cat([first + length * start, first + length * (start + side / larger)], 1)


class Centred:
    """Each picture resized by its short side, then its centre: what features are judged on.

    Args:
        size: pixels per side of the result.
        short: pixels of the short side before the centre is cut out; null for 256 where it has 224, as MAE (util/datasets.py:46-50)
            and SimMIM (data/data_finetune.py:94-99) have it, rounded down.
        interpolation: how it is resized.
    """

    def __init__(self, size: int, short: int | None = None, interpolation: Interpolation = "bicubic"):
        self.size, self.short, self.interpolation = size, short or size * 256 // 224, interpolation

    def __str__(self) -> str:
        return f"the centre of {self.size} after the short side is resized to {self.short}, {self.interpolation}"

    def __call__(self, pictures: Sequence[Tensor], key: Tensor) -> tuple[View]:
        """Pictures (3, H, W) uint8 and their keys (B,) -> one view of each."""
        resized = [_resize(_middle(picture), [self.short], self.interpolation) for picture in pictures]
        image = torch.stack([F.center_crop(picture, [self.size, self.size]) for picture in resized])
        width, height = torch.tensor([self._resized(*picture.shape[1:]) for picture in pictures]).unbind(1)
        left, top = (
            ((side - self.size) / 2).round() for side in (width, height)
        )  # as torchvision's centre crop rounds
        box = torch.stack([left / width, top / height, (left + self.size) / width, (top + self.size) / height], 1)
        return (View(image, box, torch.zeros_like(key, dtype=torch.bool)),)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Width and height of a whole picture once it is resized, as torchvision rounds them."""
        short = min(width, height)
        return self.short * width // short, self.short * height // short


def _middle(picture: Tensor) -> Tensor:
    """What the centre of a very long strip is cut from; resized by its short side, the whole of it may fill any memory."""
    longest = LONGEST_STRIP * min(picture.shape[1:])
    if max(picture.shape[1:]) <= longest:
        return picture
    return F.center_crop(picture, [min(side, longest) for side in picture.shape[1:]])
