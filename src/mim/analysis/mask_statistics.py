"""What a masker does over many images, in three numbers."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mim.masker.split import Split


class MaskStatistics(NamedTuple):
    """Statistics of masks, as means over images."""

    masked: float
    """Share of patches that are predicted."""
    thrown: float
    """Share of patches that are neither seen nor predicted."""
    in_upper_half: float
    """Share of the masked patches that lie in the higher-scoring half of their image; by chance
    0.5.
    """
    entropy: float
    """Of the positions that are masked over all images, over that of the uniform distribution: 1
    where no place is preferred.
    """


def indicator(index: Tensor, valid: Tensor | None, patches: int) -> Tensor:
    """Indices (B, M), and which of them are no padding -> 1 at those patches, (B, L)."""
    ones = torch.ones_like(index) if valid is None else valid.long()
    return torch.zeros(len(index), patches, dtype=torch.int64, device=index.device).scatter_add_(
        1, index, ones
    )


def statistics_of_masks(split: Split, score: Tensor) -> MaskStatistics:
    """How the first part of a split relates to a score of its patches (B, L)."""
    L = score.shape[1]
    sets = ((split.masked, split.masked_valid), (split.visible, split.visible_valid))
    masked, visible = (
        indicator(i[:, 0], None if v is None else v[:, 0], L).double() for i, v in sets
    )
    upper = score.argsort(dim=1).argsort(dim=1) >= L // 2
    where = masked.mean(dim=0) / masked.mean(dim=0).sum()
    return MaskStatistics(
        masked=masked.mean().item(),
        thrown=(1 - masked - visible).mean().item(),
        in_upper_half=((masked * upper).sum(1) / masked.sum(1)).mean().item(),
        entropy=(torch.special.entr(where).sum() / math.log(L)).item(),
    )
