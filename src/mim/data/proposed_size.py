"""Image size and patch size that suit pictures smaller than 224 pixels, for which both are made."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mim.ranges import Size

LARGE = 224
"""Short side from which on the usual sizes do."""
FEWEST, MOST, LARGEST_PATCH = 7, 14, 16
"""Patches that a short side should have, where none of its pixels are left over at most; pixels a
side of one at most.
"""
LONGEST = 4
"""Long sides over short ones up to which images stay oblong."""


class ProposedSize(NamedTuple):
    """Size of images and of their patches."""

    image: Size
    """Pixels per side, or (height, width)."""
    patch: int
    """Pixels per side, which divides the image's."""


def proposed_size(sizes: Sequence[tuple[int, int]]) -> ProposedSize | None:
    """Sizes for pictures of some heights and widths; None for large ones, and without any.

    Pictures of one oblong shape stay oblong. The sides are those of the middle picture, less what
    patches leave over where no size of theirs divides them.
    """
    sides = np.array(sizes).reshape(-1, 2)
    short = int(np.median(sides.min(axis=1))) if len(sides) else LARGE
    if short >= LARGE:
        return None
    shapes = sides[:, 0] / sides[:, 1]
    same = shapes.max() < 1.01 * shapes.min()
    oblong = same and max(shapes.max(), 1 / shapes.max()) <= LONGEST
    whole = np.median(sides, axis=0).astype(int) if oblong else np.array([short, short])
    largest = min(max(1, short // FEWEST), LARGEST_PATCH)
    tiling = [
        patch
        for patch in range(largest, 0, -1)
        if not (whole % patch).any() and short // patch <= MOST
    ]
    patch = (tiling or [largest])[0]
    height, width = (int(side) // patch * patch for side in whole)
    return ProposedSize(height if height == width else (height, width), patch)
