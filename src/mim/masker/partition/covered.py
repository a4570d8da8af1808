"""Hide what a score covers, as much as that is in each image (iBOT's blocks, arXiv 2111.07832)."""

import torch
from torch import nn

from mim.masker.score.ranking import Ranking
from mim.masker.split import Split
from mim.ranges import Fraction, Rate, in_range


class Covered(nn.Module):
    """Mask as many patches, from the top of the ranking, as have a salience above a threshold.

    The sets have the lengths of the extremes, so no shape depends on what a score covers. Padding
    repeats patches of the other set.

    Args:
        threshold: salience above which a patch counts.
        most: share of patches that are masked at most, whatever is covered.

    Raises:
        ValueError: where a share is none, or the score has no salience.
    """

    @in_range
    def __init__(self, threshold: Rate = 0.0, most: Fraction = 0.5):
        super().__init__()
        self.threshold, self.most = threshold, most

    def forward(self, ranking: Ranking) -> Split:
        """rank and salience (B, L) -> Split of one part (K = 1), padded; in some images nothing may
        be masked.
        """
        if ranking.salience is None:
            raise ValueError(
                "masker/partition=covered hides what a score covers, and this one has no salience; "
                "take masker/score=drawn_block, "
                "or masker/partition=random_ratio"
            )
        L = ranking.rank.shape[1]
        most = int(L * self.most)
        # (B, 1, 1)
        count = (ranking.salience > self.threshold).sum(1).clamp(max=most)[:, None, None]
        order = ranking.rank.argsort(dim=1, descending=True)[:, None]  # (B, 1, L), masked first
        place = torch.arange(L, device=order.device)
        return Split(
            visible=order.flip(-1),
            masked=order[..., :most],
            visible_valid=(place < L - count),
            masked_valid=(place[:most] < count),
            whole=True,
        )
