"""Cut a ranking into K equal parts; each is shown once and the others predicted (EMAE, arXiv
2302.14431, algorithm 1).
"""

import torch
from torch import nn

from mim.masker.score.ranking import Ranking
from mim.masker.split import Split
from mim.ranges import TwoOrMore, in_range


class ParallelParts(nn.Module):
    """Every patch is visible in one part and masked in the K - 1 others, so that an image is used
    up in one step.

    The first part shows the bottom of the ranking, as a fixed ratio of 1 - 1/K would, the last its
    top. Two parts are complementary halves.

    Args:
        parts: K.
    """

    @in_range
    def __init__(self, parts: TwoOrMore):
        super().__init__()
        self.parts = parts

    def forward(self, ranking: Ranking) -> Split:
        """rank (B, L), highest hidden first -> K parts: visible (B, K, L / K), masked (B, K, L - L
        / K).

        Raises:
            ValueError: where K does not divide L.
        """
        K, L = self.parts, ranking.rank.shape[1]
        if L % K:
            divisors = [d for d in range(2, L + 1) if L % d == 0]
            raise ValueError(
                f"{K} parts cannot share {L} patches equally; masker.partition.parts may be "
                f"{', '.join(map(str, divisors))}"
            )
        visible = ranking.rank.argsort(dim=1).unflatten(1, (K, L // K))  # (B, K, L / K)
        turn = torch.arange(K, device=visible.device)
        others = (turn[:, None] + turn[1:]) % K  # (K, K - 1): the parts that each part predicts
        return Split(visible, masked=visible[:, others].flatten(2))
