"""A masker is a score (who is to be hidden) and a partition (how many are hidden, shown, thrown, in
how many parts).
"""

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.masker.cell import cells_of, pool_to_cells, split_to_patches
from mim.masker.partition.partition import Partition
from mim.masker.score.score import Score
from mim.masker.split import Split
from mim.ranges import Count, in_range


class Masker(nn.Module):
    """Decide which patches each image shows.

    Args:
        score: ranks the patches of each image.
        partition: cuts the ranking.
        cell: patches per side of the square that is masked as one (SimMIM: 2, for 32-pixel cells of
            16-pixel patches).
    """

    @in_range
    def __init__(self, score: Score, partition: Partition, cell: Count = 1):
        super().__init__()
        self.score, self.partition, self.cell = score, partition, cell

    @property
    def needs_tokens(self) -> bool:
        """Whether the score looks at embedded patches; if not, hidden patches need not be embedded
        at all.
        """
        return self.score.needs_tokens

    @property
    def kind(self) -> str:
        """Names of score and partition: `Random x Ratio`."""
        return f"{type(self.score).__name__} x {type(self.partition).__name__}"

    @torch.no_grad()
    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Split:
        """B images, each a grid of L patches, and their embeddings (B, L, D) if `needs_tokens` ->
        indices of patches.

        Raises:
            ValueError: where cells do not tile the grid.
        """
        if self.cell == 1:
            return self.partition(self.score(batch, grid, tokens)._replace(key=batch.key))
        cells = cells_of(grid, self.cell)
        if self.needs_tokens:
            ranking = pool_to_cells(self.score(batch, grid, tokens), cells, self.cell)
        # a score that looks at no tokens ranks any grid: AMT draws cells by their attention, not
        # patches
        else:
            ranking = self.score(batch, cells)
        return split_to_patches(self.partition(ranking._replace(key=batch.key)), cells, self.cell)
