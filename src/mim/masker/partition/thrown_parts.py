"""Drop the middle of the ranking (AMT, arXiv 2211.15362) and cut the rest into parallel parts
(EMAE, arXiv 2302.14431).
"""

from typing import Annotated

import torch
from torch import nn

from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.ranking import Ranking
from mim.masker.split import Split
from mim.ranges import Fraction, TwoOrMore, in_range

Thrown = Annotated[Fraction, "e.g. 0.4; to drop nothing use masker/partition=parallel_parts"]


class ThrownParts(nn.Module):
    """Each patch that is kept is visible in one part and masked in the others; the others reach
    neither encoder nor decoder.

    Args:
        parts: K.
        throw_ratio: share of patches to drop, half of the kept ones above it in the ranking and
            half below.
    """

    @in_range
    def __init__(self, parts: TwoOrMore, throw_ratio: Thrown):
        super().__init__()
        self.cut, self.throw_ratio = ParallelParts(parts), throw_ratio

    def kept_count(self, patches: int) -> int:
        """How many of `patches` are kept: int(L * (1 - throw_ratio)), and less until K divides it.

        Raises:
            ValueError: where a part would show nothing.
        """
        K = self.cut.parts
        kept = int(patches * (1 - self.throw_ratio)) // K * K
        if not kept:
            raise ValueError(
                f"throwing {self.throw_ratio} of {patches} patches leaves fewer than {K}, one for "
                "each part; "
                "lower masker.partition.throw_ratio or masker.partition.parts"
            )
        return kept

    def forward(self, ranking: Ranking) -> Split:
        """rank (B, L), highest hidden first -> K parts of the kept patches."""
        kept = self.kept_count(ranking.rank.shape[1])
        order = ranking.rank.argsort(dim=1)
        order = torch.cat(
            [order[:, : kept - kept // 2], order[:, order.shape[1] - kept // 2 :]], dim=1
        )
        visible, masked, *_ = self.cut(Ranking(ranking.rank.gather(1, order)))
        visible, masked = (
            order.gather(1, place.flatten(1)).view_as(place) for place in (visible, masked)
        )
        return Split(visible, masked)
