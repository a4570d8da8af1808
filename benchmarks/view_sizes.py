"""Sizes that contestants of methods of several views share."""

from typing import NamedTuple


class Sizes(NamedTuple):
    """Image and patch in pixels, encoder as (width, depth, heads), hidden channels of heads, and
    prototypes.
    """

    image: int
    patch: int
    encoder: tuple[int, int, int]
    hidden: int
    prototypes: int
