"""Random resized crop and horizontal flip: the only augmentation of MAE (arXiv 2111.06377, appendix
A.1).
"""

from typing import Protocol

from torch import Tensor

from mim.augment.augmentation import Cut, OneView
from mim.augment.resample import Interpolation
from mim.draw import CROP, FLIP, uniform
from mim.ranges import Share, in_range


class Boxes(Protocol):
    """A recipe for crops: `draws` uniforms for each image -> a box."""

    draws: int

    def __call__(self, u: Tensor, size: Tensor) -> Tensor:
        """Uniforms (B, draws), sizes (B, 2) as (height, width) -> boxes (B, 4) as pixels (x1, y1,
        x2, y2).
        """


class CropFlip(OneView):
    """Decide where each image is cropped and whether it is mirrored; the pixels are moved
    elsewhere.

    Args:
        boxes: the recipe for crops.
        flip: probability of mirroring left to right.
        interpolation: how a crop is resized, antialiased: bicubic in MAE's recipes and timm's,
            bilinear where a recipe leaves torchvision's default, as SimMIM's pre-training does.
    """

    @in_range
    def __init__(self, boxes: Boxes, flip: Share = 0.5, interpolation: Interpolation = "bicubic"):
        self.boxes, self.flip, self.interpolation = boxes, flip, interpolation

    def __str__(self) -> str:
        return f"{self.boxes}, {self.interpolation}, {self.flip:.0%} mirrored"

    def __call__(self, key: Tensor, size: Tensor) -> Cut:
        """Keys (B,), sizes (B, 2) as (height, width) -> where each image is cropped, and whether it
        is mirrored.
        """
        box = self.boxes(uniform(key, self.boxes.draws, CROP), size)
        return Cut(box, uniform(key, 1, FLIP)[:, 0] < self.flip)
