"""Where a random resized crop lies, for a whole batch at once.

Both recipes draw an area and an aspect ratio; they differ where such a box does not fit into the
picture.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mim.ranges import Shares, Span, in_range


def _draw_sides(u: Tensor, size: Tensor, scale: Sequence[float], ratio: Sequence[float]) -> Tensor:
    """Uniforms (..., 2) for area and aspect, sizes (..., 2) as (height, width) -> sides (..., 2) as
    (height, width).
    """
    area = size.prod(-1) * (u[..., 0] * (scale[1] - scale[0]) + scale[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = (u[..., 1] * (high - low) + low).exp()
    return torch.stack([(area / aspect).sqrt(), (area * aspect).sqrt()], -1).round().long()


def _place(u: Tensor, size: Tensor, side: Tensor) -> Tensor:
    """Uniforms (B, 2) for top and left, sizes and sides (B, 2) -> boxes (B, 4) as pixels (x1, y1,
    x2, y2).
    """
    # U[0, 1) has 24 bits, so the product stays below the number of places
    corner = (u * (size - side + 1)).long()
    return torch.cat([corner.flip(1), (corner + side).flip(1)], 1)


def _words(scale: Sequence[float], ratio: Sequence[float]) -> str:
    return (
        f"{scale[0]:.0%} to {scale[1]:.0%} of the area, width over height {ratio[0]:.2f} to "
        f"{ratio[1]:.2f}"
    )


class TorchvisionBoxes:
    """torchvision's RandomResizedCrop (v2, `make_params`): ten tries, then the largest central
    crop.

    Args:
        scale: smallest and largest share of the picture's area.
        ratio: smallest and largest width / height.
    """

    draws = 22

    @in_range
    def __init__(self, scale: Shares = (0.2, 1.0), ratio: Span = (3 / 4, 4 / 3)):
        self.scale, self.ratio = tuple(scale), tuple(ratio)

    def __str__(self) -> str:
        return f"torchvision's crops of {_words(self.scale, self.ratio)}"

    def __call__(self, u: Tensor, size: Tensor) -> Tensor:
        """Uniforms (B, 22): ten (area, aspect), (top, left); sizes (B, 2) as (height, width) ->
        pixel boxes (B, 4).
        """
        # (B, 10, 2)
        tries = _draw_sides(u[:, :20].unflatten(1, (10, 2)), size[:, None], self.scale, self.ratio)
        fits = ((tries > 0) & (tries <= size[:, None])).all(-1)  # (B, 10)
        first = fits.long().argmax(1)  # of equal values, the first
        side = tries.take_along_dim(first[:, None, None], 1)[:, 0]  # (B, 2)
        box = _place(u[:, 20:], size, torch.minimum(side, size))
        return torch.where(fits.any(1, keepdim=True), box, self._central(size))

    def _central(self, size: Tensor) -> Tensor:
        """Sizes (B, 2) -> the largest centred boxes (B, 4) whose ratio is allowed."""
        height, width = size.unbind(1)
        side = torch.stack(
            [
                torch.minimum(height, (width / self.ratio[0]).round().long()),
                torch.minimum(width, (height * self.ratio[1]).round().long()),
            ],
            1,
        )
        corner = (size - side) // 2
        return torch.cat([corner.flip(1), (corner + side).flip(1)], 1)


class ClampedBoxes:
    """The official MAE's RandomResizedCrop (`util/crop.py`, for linear probing): one try, cut to
    the picture's sides.

    Args:
        scale: smallest and largest share of the picture's area.
        ratio: smallest and largest width / height, before cutting down.
    """

    draws = 4

    @in_range
    def __init__(self, scale: Shares = (0.2, 1.0), ratio: Span = (3 / 4, 4 / 3)):
        self.scale, self.ratio = tuple(scale), tuple(ratio)

    def __str__(self) -> str:
        return f"crops of {_words(self.scale, self.ratio)}, cut to the image"

    def __call__(self, u: Tensor, size: Tensor) -> Tensor:
        """Uniforms (B, 4): area, aspect, top, left; sizes (B, 2) as (height, width) -> pixel boxes
        (B, 4).
        """
        # A picture of a few pixels can round to a side of 0, where the official code would fail.
        side = torch.minimum(_draw_sides(u[:, :2], size, self.scale, self.ratio).clamp(min=1), size)
        return _place(u[:, 2:], size, side)
