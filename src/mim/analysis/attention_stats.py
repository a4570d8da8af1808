"""What attention does, in numbers (Beyond [cls], arXiv 2412.03215)."""

from typing import NamedTuple

import torch
from torch import Tensor


class HeadStatistics(NamedTuple):
    """Of attention matrices (B, A, R + L, R + L), cls first, each (B, A): what one head does with
    one image.

    The names of the official code (main_attention_stats.py) are given in brackets. Its 1e-6 is
    kept: in the denominators of the adjusted shares, and of an entropy's distribution and inside
    its logarithm. At 196 patches an entropy without it would be up to 8e-5 of the largest higher.
    """

    cls_to_cls: Tensor
    """Share of the cls token's attention that stays with it [cls_cls_attention]."""
    patch_to_self: Tensor
    """Share of a patch's attention that stays with it, mean over patches [pos_self_attention]."""
    cls_to_cls_adjusted: Tensor
    """The former, for each unit of attention that goes to patches [cls_cls_attention_adj_for_cls]:
    odds, at most 1e6.
    """
    patch_to_self_adjusted: Tensor
    """Share that stays among what a patch gives to patches, the cls token left out
    [pos_self_attention_adj_for_cls].
    """
    cls_to_patch: Tensor
    """What the cls token gives to a patch, mean over patches [cls_pos_attention]; L of these and
    `cls_to_cls` sum to one.
    """
    patch_to_cls: Tensor
    """Share of a patch's attention that goes to the cls token, mean over patches
    [pos_cls_attention].
    """
    cls_entropy: Tensor
    """Of what the cls token gives to patches, as a distribution over them, in nats
    [cls_pos_entropy]; at most log L.
    """
    patch_entropy: Tensor
    """The same of each patch, mean over patches [pos_pos_entropy]."""
    distance: Tensor
    """How far a patch looks among patches, in patch sides: distance of centres weighted by
    attention (ViT, arXiv 2010.11929, figure 7, in pixels there), mean over patches.
    """


class UpdateStatistics(NamedTuple):
    """Norm of what attention adds to a token over that of the token, each (B,).

    What is added has been through the layer scale, where there is one (Beit); the official ViT has
    none.
    """

    cls_update: Tensor
    """Of the cls token [cls_magnitude]."""
    patch_update: Tensor
    """Mean over patches [pos_magnitude]."""


def head_statistics(matrix: Tensor, grid: tuple[int, int]) -> HeadStatistics:
    """Of attention matrices (B, A, R + L, R + L), cls first, whose rows sum to one, over a grid of
    L patches.
    """
    prefix = matrix.shape[-1] - grid[0] * grid[1]
    to_cls, to_patches = matrix[..., 0], matrix[..., prefix:]
    share = to_patches.sum(-1)  # (B, A, R + L)
    to_self = matrix.diagonal(dim1=-2, dim2=-1)
    adjusted = to_self / (share + 1e-6)
    entropy = entropy_among(to_patches)
    among = to_patches / share.clamp(min=torch.finfo(share.dtype).tiny)[..., None]
    return HeadStatistics(
        cls_to_cls=to_self[..., 0],
        patch_to_self=to_self[..., prefix:].mean(-1),
        cls_to_cls_adjusted=adjusted[..., 0],
        patch_to_self_adjusted=adjusted[..., prefix:].mean(-1),
        cls_to_patch=to_patches[..., 0, :].mean(-1),
        patch_to_cls=to_cls[..., prefix:].mean(-1),
        cls_entropy=entropy[..., 0],
        patch_entropy=entropy[..., prefix:].mean(-1),
        distance=(among[..., prefix:, :] * distances(grid, matrix.device)).sum(-1).mean(-1),
    )


def entropy_among(to_patches: Tensor) -> Tensor:
    """Entropy in nats of attention (..., L) among patches, scaled to sum to one: (...), as in the
    official code, 1e-6 and all.
    """
    among = to_patches / (to_patches.sum(-1, keepdim=True) + 1e-6)
    return -(among * (among + 1e-6).log()).sum(-1)


def distances(grid: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """Between the centres of all patches of (rows, columns), in patch sides: (L, L)."""
    rows, columns = (torch.arange(float(side), device=device) for side in grid)
    centre = torch.cartesian_prod(rows, columns)
    return torch.cdist(centre, centre, compute_mode="donot_use_mm_for_euclid_dist")


def update_statistics(residual: Tensor, update: Tensor, prefix: int = 1) -> UpdateStatistics:
    """Of the stream that enters a block and what its attention adds, both (B, R + L, D), cls
    first.
    """
    ratio = update.float().norm(dim=-1) / residual.float().norm(dim=-1)
    return UpdateStatistics(cls_update=ratio[:, 0], patch_update=ratio[:, prefix:].mean(-1))
