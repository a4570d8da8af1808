"""Carry position embeddings to another grid (MAE, util/pos_embed.py: interpolate_pos_embed)."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def interpolate_positions(positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Positions of an old grid (1, 1 + L, D), cls first -> those of a new one: bicubic, the cls row as it was.

    Grids are (rows, columns).
    """
    if old == new:
        return positions
    cls, patches = positions[:, :1], positions[:, 1:]
    image = patches.transpose(1, 2).unflatten(2, old)  # (1, D, rows, columns)
    patches = interpolate(image, size=new, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    return torch.cat([cls, patches], dim=1)
