"""Turn decoded pictures of many sizes into one uint8 batch, on a CPU.

Resizing stays in uint8, where torchvision's antialiased kernel is vectorised: half the speed of the pipeline.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mim.augment.resample import Interpolation
from mim.augment.view import View

Cut = tuple[Tensor, Tensor, Tensor]
"""Images (B, 3, size, size) uint8 not yet mirrored, boxes (B, 4) in fractions, flips (B,)."""


LONGEST_STRIP = 32  # times as long as wide, of what is resized by its short side


def _resize(image: Tensor, size: Sequence[int], interpolation: Interpolation) -> Tensor:
    return F.resize(image, list(size), InterpolationMode(interpolation), antialias=True)


class Cropped:
    """Each picture cropped to its box, then resized, then painted on where the augmentation does that.

    Args:
        augment: decides crops and flips, and how crops are resized. Its method `paint`, if it has one, changes the pixels of a
            crop: (3, size, size) uint8 and its key -> the same.
        size: pixels per side of the result.
    """

    def __init__(self, augment: View, size: int):
        self.augment, self.size = augment, size

    def __str__(self) -> str:
        return str(self.augment)

    def __call__(self, pictures: Sequence[Tensor], key: Tensor) -> Cut:
        """Pictures (3, H, W) uint8 and their keys (B,) -> the batch."""
        size = torch.tensor([picture.shape[1:] for picture in pictures])  # (B, 2)
        box, flip = self.augment(key, size)
        images = [
            _resize(picture[:, y1:y2, x1:x2], (self.size, self.size), self.augment.interpolation)
            for picture, (x1, y1, x2, y2) in zip(pictures, box.tolist(), strict=True)
        ]
        if hasattr(self.augment, "paint"):
            paint = self.augment.paint
            images = [paint(image, one) for image, one in zip(images, key.tolist(), strict=True)]
        return torch.stack(images), box / size.flip(1).repeat(1, 2), flip


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

    def __call__(self, pictures: Sequence[Tensor], key: Tensor) -> Cut:
        """Pictures (3, H, W) uint8 and their keys (B,) -> the batch."""
        resized = [_resize(_middle(picture), [self.short], self.interpolation) for picture in pictures]
        image = torch.stack([F.center_crop(picture, [self.size, self.size]) for picture in resized])
        width, height = torch.tensor([self._resized(*picture.shape[1:]) for picture in pictures]).unbind(1)
        left, top = (
            ((side - self.size) / 2).round() for side in (width, height)
        )  # as torchvision's centre crop rounds
        box = torch.stack([left / width, top / height, (left + self.size) / width, (top + self.size) / height], 1)
        return image, box, torch.zeros_like(key, dtype=torch.bool)

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
