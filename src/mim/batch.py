"""What every data set yields and every model takes."""

from typing import NamedTuple

import torch
from torch import Tensor

from mim.draw import keys


class Batch(NamedTuple):
    """Images and where they came from. A named tuple, so that it moves between devices and through `torch.compile` as it is."""

    image: Tensor
    """(B, 3, H, W), normalised float once on the training device."""
    label: Tensor
    """(B,) int64, -1 where the data set has no labels."""
    index: Tensor  # type: ignore[assignment]  # a field, not tuple.index
    """(B,) int64, the image's place in its data set: stable over epochs."""
    box: Tensor
    """(B, 4) float32, the crop as (x1, y1, x2, y2) in fractions of the source image."""
    flip: Tensor
    """(B,) bool, whether the crop was mirrored left to right."""
    key: Tensor
    """(B,) int64, from which `mim.draw` takes all that is random about this image in this step."""

    @classmethod
    def of(cls, image: Tensor, seed: int = 0) -> "Batch":
        """Batch of whole images (B, 3, H, W), normalised, without labels; the seed decides their masks."""
        number = torch.arange(len(image), device=image.device)
        return cls(
            image=image,
            label=torch.full_like(number, -1),
            index=number,
            box=torch.tensor([0.0, 0.0, 1.0, 1.0], device=image.device).expand(len(image), 4),
            flip=torch.zeros(len(image), dtype=torch.bool, device=image.device),
            key=keys(seed, 0, number),
        )


def blank(count: int, image_size: tuple[int, int], device: torch.device | str = "cpu") -> Batch:
    """Black images, uncropped: to ask a model what it would do with `count` images of (height, width)."""
    height, width = image_size
    number = torch.arange(count, device=device)
    return Batch(
        image=torch.zeros(count, 3, height, width, device=device),
        label=torch.full_like(number, -1),
        index=number,
        box=torch.tensor([0.0, 0.0, 1.0, 1.0], device=device).expand(count, 4),
        flip=torch.zeros(count, dtype=torch.bool, device=device),
        key=number,
    )
