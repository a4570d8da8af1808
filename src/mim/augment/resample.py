"""Crop, flip and resize a whole batch on its device: antialiased resampling as two batched matrix
products.

The resize of Pillow and torchvision (`antialias=True`) is linear and separable: a matrix for the
rows and one for the columns. Each image has its own box; all have one size.
"""

import torch
from torch import Tensor

from mim.geometry import pair
from mim.image_format import Interpolation
from mim.ranges import Size


def _cubic(x: Tensor) -> Tensor:
    """The cubic convolution kernel with a = -0.5 (Keys, 1981), which Pillow and torchvision use to
    antialias.
    """
    x = x.abs()
    return torch.where(
        x < 1,
        (1.5 * x - 2.5) * x * x + 1,
        torch.where(x < 2, ((2.5 - 0.5 * x) * x - 4) * x + 2, 0.0),
    )


def _triangle(x: Tensor) -> Tensor:
    """The kernel of linear interpolation."""
    return (1 - x.abs()).clamp(min=0)


_KERNELS = {"bicubic": _cubic, "bilinear": _triangle}


def resampling_matrix(
    start: Tensor, stop: Tensor, size: int, out: int, interpolation: Interpolation = "bicubic"
) -> Tensor:
    """Pixels [start, stop), each (B,), of lines of `size` pixels -> weights (B, out, size) to
    resize them.
    """
    length = (stop - start).float()[:, None, None]
    step = length / out
    centre = step * (torch.arange(out, device=start.device)[:, None] + 0.5)  # (B, out, 1)
    # (B, 1, size), 0 is the crop's first pixel
    place = torch.arange(size, device=start.device) - start[:, None, None]
    # Shrinking widens the kernel: that is the antialiasing.
    weight = _KERNELS[interpolation]((place + 0.5 - centre) / step.clamp(min=1))
    weight = weight * ((place >= 0) & (place < length))  # pixels outside the crop do not shine in
    return weight / weight.sum(-1, keepdim=True)


def resized_crop(
    image: Tensor, box: Tensor, flip: Tensor, size: Size, interpolation: Interpolation = "bicubic"
) -> Tensor:
    """Images (B, C, H, W), boxes (B, 4) in fractions, flips (B,) -> (B, C, *size) float32, not
    clamped.
    """
    (height, width), (tall, wide) = image.shape[-2:], pair(size)
    # (B, 2), whole pixels
    x, y = (box[:, 0::2] * width).round().long(), (box[:, 1::2] * height).round().long()
    rows = resampling_matrix(y[:, 0], y[:, 1], height, tall, interpolation)  # (B, tall, H)
    columns = resampling_matrix(x[:, 0], x[:, 1], width, wide, interpolation)  # (B, wide, W)
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    return rows[:, None] @ image.float() @ columns[:, None].transpose(-1, -2)
