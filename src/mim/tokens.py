"""The geometry of tokens: images to patches and back, and picking tokens by index."""

import torch
from torch import Tensor

from mim.geometry import grid_of, pair
from mim.ranges import Size


def _as_grid(image: Tensor, patch_size: Size) -> Tensor:
    """(B, C, H, W) -> a view (B, rows, columns, height, width, C) of patches of that height and
    width.
    """
    B, C, H, W = image.shape
    (rows, columns), (height, width) = grid_of((H, W), patch_size), pair(patch_size)
    return image.view(B, C, rows, height, columns, width).permute(0, 2, 4, 3, 5, 1)


def patchify(image: Tensor, patch_size: Size) -> Tensor:
    """(B, C, H, W) -> (B, L, P), each patch flattened as (row, column, channel) (MAE,
    models_mae.py: patchify).
    """
    return _as_grid(image, patch_size).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, patch_size: Size, grid: tuple[int, int]) -> Tensor:
    """(B, L, P) -> (B, C, H, W): the inverse of `patchify` for a grid of (rows, columns)."""
    B, _, P = patches.shape
    (rows, columns), (height, width) = grid, pair(patch_size)
    tiles = patches.view(B, rows, columns, height, width, P // (height * width))
    return tiles.permute(0, 5, 1, 3, 2, 4).reshape(B, -1, rows * height, columns * width)


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Pick tokens: (B, L, D), indices (B, K, M) -> (B, K, M, D)."""
    B, L, D = tokens.shape
    offset = torch.arange(B, device=tokens.device).mul(L).view(B, 1, 1)
    return (
        tokens.reshape(B * L, D).index_select(0, (index + offset).flatten()).view(*index.shape, D)
    )


def take_patches(image: Tensor, index: Tensor, patch_size: Size) -> Tensor:
    """Pick patches without cutting up the rest of the image: (B, C, H, W), indices (B, K, M) -> (B,
    K, M, P).
    """
    tiles = _as_grid(image, patch_size)
    columns = tiles.shape[2]
    batch = torch.arange(len(image), device=image.device).view(-1, 1, 1)
    return tiles[batch, index // columns, index % columns].flatten(3)
