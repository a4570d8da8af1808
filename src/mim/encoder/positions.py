"""Fixed two-dimensional sine-cosine positions (MAE, util/pos_embed.py)."""

import torch
from torch import Tensor


def _sincos(position: Tensor, width: int) -> Tensor:
    """(L,) -> (L, width): sines, then cosines, of frequencies 10000^(-2i/width)."""
    frequency = 10000.0 ** (-torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angle = position[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def sincos_positions(width: int, grid: tuple[int, int], cls: bool = True) -> Tensor:
    """Positions of a grid of (rows, columns) -> (1 + L, width) float64, the first row zero for the cls token, if any.

    The first half of the width encodes the column, the second the row.

    Raises:
        ValueError: where 4 does not divide the width.
    """
    if width % 4:
        raise ValueError(
            f"sine-cosine positions got width={width}; needs a multiple of 4, e.g. {width + 4 - width % 4}"
        )
    row, column = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    table = torch.cat([_sincos(column.flatten(), width // 2), _sincos(row.flatten(), width // 2)], dim=1)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), table]) if cls else table
