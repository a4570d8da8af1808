"""Show the whole image: no crop, no flip."""

import torch
from torch import Tensor

from mim.augment.augmentation import Cut, OneView
from mim.augment.resample import Interpolation


class NoAugment(OneView):
    """The view of pictures that augmentation would hurt, such as digits.

    Args:
        interpolation: how it is resized.
    """

    def __init__(self, interpolation: Interpolation = "bicubic"):
        self.interpolation = interpolation

    def __str__(self) -> str:
        return f"whole, {self.interpolation}"

    def __call__(self, key: Tensor, size: Tensor) -> Cut:
        """Keys (B,), sizes (B, 2) as (height, width) -> the whole of each image, and no flips."""
        height, width = size.unbind(1)
        zero = torch.zeros_like(height)
        return Cut(
            torch.stack([zero, zero, width, height], 1), torch.zeros_like(key, dtype=torch.bool)
        )
