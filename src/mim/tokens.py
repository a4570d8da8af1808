"""The geometry of tokens: images to patches and back, and picking tokens by index."""

import torch
from torch import Tensor


def grid_of(image_size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Rows and columns of patches.

    Raises:
        ValueError: where the patch size does not divide the image size.
    """
    height, width = image_size
    if height % patch_size or width % patch_size:
        fitting = [p for p in range(2, min(height, width) + 1) if height % p == 0 and width % p == 0]
        raise ValueError(
            f"image size {height} x {width} is not divisible by patch_size={patch_size}; "
            f"patch sizes that divide it: {', '.join(map(str, fitting)) or 'none'}"
        )
    return height // patch_size, width // patch_size


def _as_grid(image: Tensor, patch_size: int) -> Tensor:
    """(B, C, H, W) -> a view (B, rows, columns, patch_size, patch_size, C)."""
    B, C, H, W = image.shape
    rows, columns = grid_of((H, W), patch_size)
    return image.view(B, C, rows, patch_size, columns, patch_size).permute(0, 2, 4, 3, 5, 1)


def patchify(image: Tensor, patch_size: int) -> Tensor:
    """(B, C, H, W) -> (B, L, P), each patch flattened as (row, column, channel) (MAE, models_mae.py: patchify)."""
    return _as_grid(image, patch_size).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, patch_size: int, grid: tuple[int, int]) -> Tensor:
    """(B, L, P) -> (B, C, H, W): the inverse of `patchify` for a grid of (rows, columns)."""
    B, _, P = patches.shape
    rows, columns = grid
    tiles = patches.view(B, rows, columns, patch_size, patch_size, P // patch_size**2)
    return tiles.permute(0, 5, 1, 3, 2, 4).reshape(B, -1, rows * patch_size, columns * patch_size)


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Pick tokens: (B, L, D), indices (B, K, M) -> (B, K, M, D)."""
    B, L, D = tokens.shape
    offset = torch.arange(B, device=tokens.device).mul(L).view(B, 1, 1)
    return tokens.reshape(B * L, D).index_select(0, (index + offset).flatten()).view(*index.shape, D)


def take_patches(image: Tensor, index: Tensor, patch_size: int) -> Tensor:
    """Pick patches without cutting up the rest of the image: (B, C, H, W), indices (B, K, M) -> (B, K, M, P)."""
    tiles = _as_grid(image, patch_size)
    columns = tiles.shape[2]
    batch = torch.arange(len(image), device=image.device).view(-1, 1, 1)
    return tiles[batch, index // columns, index % columns].flatten(3)
