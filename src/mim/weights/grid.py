"""Grid of patches that positions are of: what a run says, or sines and cosines show."""

import torch
from torch import Tensor

from mim.encoder.positions import sincos_positions
from mim.geometry import grid_of, pair
from mim.weights.weights import Weights

MOST_SHOWN, NEAR = 2**12, 2e-3
"""Patches up to which sines and cosines are looked for; how far they may be off, in half
precision.
"""


def shown_grid(positions: Tensor, prefix: int = 1) -> tuple[int, int] | None:
    """Rows and columns of sines and cosines (1, R + L, D), as MAE or MoCo v3 has them; None of
    positions that were learned, which show none.
    """
    if positions.ndim != 3 or positions.shape[2] % 4:
        return None
    patches, width = positions[0, prefix:].double(), positions.shape[2]
    count = len(patches)
    first = sincos_positions(width, (1, 1), cls=False)  # the same in every grid
    if not 0 < count <= MOST_SHOWN or not _near(patches[:1], first):
        return None
    for rows in (number for number in range(1, count + 1) if count % number == 0):
        grid = (rows, count // rows)
        for rows_first in (False, True):
            if _near(patches, sincos_positions(width, grid, cls=False, rows_first=rows_first)):
                return grid
    return None


def _near(found: Tensor, made: Tensor) -> bool:
    return torch.allclose(found, made, rtol=0, atol=NEAR)


def said_grid(weights: Weights) -> tuple[int, int] | None:
    """Rows and columns of patches that weights are of: what their config says, or their positions
    show; None where nothing tells, of files of others a square.
    """
    settings = (weights.config or {}).get("encoder")
    if settings is None:
        positions = weights.tensors.get("encoder.pos_embed")
        return None if positions is None else shown_grid(positions)
    try:
        return grid_of(pair(settings["image_size"]), pair(settings["patch_size"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def tells_grid(weights: Weights) -> bool:
    """Whether something in weights tells the grid of their patches; of one without positions, or a
    named model, nothing has to.
    """
    named = weights.config is not None or weights.architecture is not None
    return named or "encoder.pos_embed" not in weights.tensors or said_grid(weights) is not None
