"""Centres of decoded pictures, which features are judged on."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mim.augment.pictures import resize_picture
from mim.augment.reduced import Sides, divisor_of
from mim.augment.resample import Interpolation
from mim.batch import View
from mim.geometry import by, pair
from mim.ranges import Size

LONGEST_STRIP = 32  # times as long as wide, of what is resized by its short side


class CentreCrop:
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
            resize_picture(
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
