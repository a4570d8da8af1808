"""Rank patches at random (MAE, arXiv 2111.06377)."""

from torch import Tensor, nn

from mim.batch import Batch
from mim.draw import MASK, uniform
from mim.masker.score.ranking import Ranking


class Random(nn.Module):
    """Every order of the patches is equally likely."""

    needs_tokens = False

    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Ranking:
        """B images of a grid of L patches -> ranking (B, L)."""
        return Ranking(uniform(batch.key, grid[0] * grid[1], MASK))
