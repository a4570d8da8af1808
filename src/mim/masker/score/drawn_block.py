"""Cover a share of each image, drawn for it, with blocks (iBOT, arXiv 2111.07832; bytedance/ibot,
loader.py: ImageFolderMask).
"""

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.draw import MASK, uniform
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.score.block import ATTEMPTS, MinAspect, place_blocks, smallest_block
from mim.masker.score.ranking import Ranking
from mim.ranges import Count, in_range


class DrawnBlock(nn.Module):
    """Patches of blocks that were placed early are hidden first; those of any block are salient,
    and no others.

    Blocks are placed as BEiT places them, until they cover the share or no further block fits:
    often a few patches less, none in images that stay whole. `masker/partition=covered` hides
    exactly what they cover.

    Args:
        ratios: draws the share of each image, and which stay whole.
        min_patches: smallest area that is tried; null for a third of the shorter side, squared: 16
            on 14 x 14.
        min_aspect: the most slender shape, height over width; its inverse is the flattest.

    Raises:
        ValueError: where the aspect is out of its range.
    """

    needs_tokens = False

    @in_range
    def __init__(
        self,
        ratios: RandomRatio,
        min_patches: Count | None = None,
        min_aspect: MinAspect = 0.3,
    ):
        super().__init__()
        self.ratios, self.min_patches, self.min_aspect = ratios, min_patches, min_aspect

    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Ranking:
        """B images of a grid of L patches -> ranking (B, L), and whether a block covers a patch as
        salience, 0 or 1 (B, L).

        Raises:
            ValueError: where not even the smallest block fits on the grid.
        """
        rows, columns = grid
        L, smallest = rows * columns, smallest_block(grid, self.min_patches)
        share, _, masked = self.ratios.draw(batch.key)
        draws = uniform(batch.key, L + ATTEMPTS * 4, MASK)
        noise, draws = draws[:, :L], draws[:, L:].unflatten(1, (ATTEMPTS, 4))
        age = place_blocks(
            draws, rows, columns, L * share * masked, smallest, L, self.min_aspect
        ).flatten(1)
        return Ranking(age + noise, (age > 0).to(torch.float32))
