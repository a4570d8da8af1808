"""Positions: fixed two-dimensional sines and cosines (MAE, util/pos_embed.py), and any that are
resized in every pass (DINO).
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def _sincos(position: Tensor, width: int) -> Tensor:
    """(L,) -> (L, width): sines, then cosines, of frequencies 10000^(-2i/width)."""
    frequency = 10000.0 ** (-torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angle = position[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def sincos_positions(
    width: int, grid: tuple[int, int], cls: bool = True, rows_first: bool = False
) -> Tensor:
    """Positions of a grid of (rows, columns) -> (1 + L, width) float64, the first row zero for the
    cls token, if any.

    The first half of the width encodes the column, the second the row (MAE); or the other way (MoCo
    v3, CAE).

    Raises:
        ValueError: where 4 does not divide the width.
    """
    if width % 4:
        raise ValueError(
            f"sine-cosine positions got width={width}; needs a multiple of 4, e.g. "
            f"{width + 4 - width % 4}"
        )
    row, column = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij"
    )
    places = (row, column) if rows_first else (column, row)
    table = torch.cat([_sincos(place.flatten(), width // 2) for place in places], dim=1)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), table]) if cls else table


def resize_positions(
    positions: Tensor, old: tuple[int, int], new: tuple[int, int], offset: float = 0.0
) -> Tensor:
    """Positions of an old grid (1, L, D) at a new one, (rows, columns), bicubic -> (1, L', D).

    Points are apart by `old / (new + offset)` of the old grid. DINO's and iBOT's releases have an
    offset of 0.1 (vision_transformer.py: interpolate_pos_encoding), which shifts a small grid to
    its first rows and columns: a trait of their published weights. 0 is a plain resize.
    """
    if old == new:
        return positions
    image = positions.mT.unflatten(2, old)  # (1, D, rows, columns)
    if offset:
        scale = [(n + offset) / o for n, o in zip(new, old, strict=True)]
        image = interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)
    else:
        image = interpolate(image, size=new, mode="bicubic", align_corners=False)
    return image.flatten(2).mT


def positions_at(
    positions: Tensor, prefix: int, own: tuple[int, int], grid: tuple[int, int]
) -> Tensor:
    """Positions of a prefix and a grid (1, R + L, D) at another grid, bicubic -> (1, R + L', D)."""
    if own == grid:
        return positions
    return torch.cat(
        [positions[:, :prefix], resize_positions(positions[:, prefix:], own, grid)], dim=1
    )
