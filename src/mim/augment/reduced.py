"""Crops of pictures that were decoded at a half, a quarter or an eighth of their size."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

DIVISORS = (8, 4, 2)
"""Of a JPEG's sides, that libjpeg decodes it at in less time, the largest first."""


class Sides(NamedTuple):
    """Sides in pixels."""

    height: int
    width: int


def divisor_of(crop: Sides, made: Sides) -> int:
    """By what the sides of a picture can be divided so that its crop still has at least twice as
    many pixels a side as the image that is made of it; 1 where it can not.
    """
    times = min(crop.height // (2 * made.height), crop.width // (2 * made.width))
    return next((divisor for divisor in DIVISORS if divisor <= times), 1)


def in_reduced(box: Sequence[int], picture: Tensor, height: int) -> tuple[int, int, int, int]:
    """A box in pixels (x1, y1, x2, y2) of a whole picture -> of the picture (C, h, w) as it was
    decoded.

    Args:
        box: of the whole picture.
        picture: reduced, or whole.
        height: of the whole picture.
    """
    x1, y1, x2, y2 = box
    h, w = picture.shape[-2:]
    divisor = round(height / h)
    if divisor <= 1:
        return x1, y1, x2, y2
    left, top = min(round(x1 / divisor), w - 1), min(round(y1 / divisor), h - 1)
    right, bottom = min(round(x2 / divisor), w), min(round(y2 / divisor), h)
    return left, top, max(right, left + 1), max(bottom, top + 1)
