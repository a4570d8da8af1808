"""Carry position embeddings to another grid (MAE, util/pos_embed.py: interpolate_pos_embed)."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def interpolate_positions(positions: Tensor, old: tuple[int, int], new: tuple[int, int], prefix: int = 1) -> Tensor:
    """Positions of an old grid (1, R + L, D), prefix first -> those of a new one: bicubic, the prefix as it was.

    Grids are (rows, columns).
    """
    if old == new:
        return positions
    first, patches = positions[:, :prefix], positions[:, prefix:]
    image = patches.transpose(1, 2).unflatten(2, old)  # (1, D, rows, columns)
    patches = interpolate(image, size=new, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    return torch.cat([first, patches], dim=1)
