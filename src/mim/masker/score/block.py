"""Hide rectangles first (BEiT, arXiv 2106.08254, algorithm 1; unilm, beit/masking_generator.py).

BEiT places one block after another until enough patches are hidden. Here that order is a score: patches of earlier
blocks rank higher, all others follow at random. A partition that hides `ratio` of the patches gets BEiT's mask; where BEiT
stops a few patches short, because ten attempts in a row placed nothing, random patches complete it.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.draw import MASK, uniform
from mim.masker.score.ranking import Ranking

# A fixed number of attempts, so that the host need not ask the device which images are done. BEiT would go on after 48 with
# none of 2,000 images on a grid of 14 x 14 at ratios up to 0.75 (10 % at 0.9), and with 2 % on 28 x 28 at 0.75.
ATTEMPTS = 48
PATIENCE = 10


class Blocks(NamedTuple):
    """The blocks placed so far on each image."""

    age: Tensor
    """(B, rows, columns) float, attempts since a block hid the patch; 0 where it is not hidden."""
    failed: Tensor
    """(B,) int64, attempts in a row that placed nothing."""

    def hidden(self) -> Tensor:
        """(B,) int64, patches hidden so far."""
        return (self.age > 0).sum((1, 2))


def sides(area: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width of blocks, in whole patches: (B,), (B,) -> (B,), (B,)."""
    return (area * aspect).sqrt().round(), (area / aspect).sqrt().round()


def place(blocks: Blocks, height: Tensor, width: Tensor, top: Tensor, left: Tensor, limit: Tensor) -> Blocks:
    """One attempt: a block for each image, sides and corner (B,), that may hide at most `limit` (B,) patches more.

    It counts where it fits with a margin, hides something new but not too much, and the image has not been given up.
    """
    _, rows, columns = blocks.age.shape
    row = torch.arange(rows, device=top.device)
    column = torch.arange(columns, device=top.device)
    inside_rows = (row >= top[:, None]) & (row < (top + height)[:, None])
    inside_columns = (column >= left[:, None]) & (column < (left + width)[:, None])
    new = inside_rows[:, :, None] & inside_columns[:, None] & (blocks.age == 0)
    gain = new.sum((1, 2))
    placed = (height < rows) & (width < columns) & (gain > 0) & (gain <= limit) & (blocks.failed < PATIENCE)
    age = blocks.age + ((blocks.age > 0) | (new & placed[:, None, None]))
    return Blocks(age, torch.where(placed, 0, blocks.failed + 1))


class Block(nn.Module):
    """Patches of blocks that were placed early are hidden first.

    Args:
        ratio: share of patches to cover with blocks, the partition's ratio: no block may hide more than is left of it.
        min_patches: smallest area that is tried; None for a third of the shorter side, squared: 16 on BEiT's 14 x 14.
        max_patches: most patches that one block may hide; None for no limit but what is left.
        min_aspect: the most slender shape, height over width; its inverse is the flattest.
    """

    needs_tokens = False

    def __init__(
        self,
        ratio: float,
        min_patches: int | None = None,
        max_patches: int | None = None,
        min_aspect: float = 0.3,
    ):
        super().__init__()
        if not 0 < ratio < 1:
            raise ValueError(
                f"Block got ratio={ratio}; needs a share between 0 and 1 (both excluded), e.g. masker.score.ratio=0.4"
            )
        if not 1 <= (min_patches or 1) <= (max_patches or math.inf):
            raise ValueError(
                f"Block got min_patches={min_patches}, max_patches={max_patches}; needs 1 <= min_patches <= max_patches"
            )
        if not 0 < min_aspect <= 1:
            raise ValueError(f"Block got min_aspect={min_aspect}; needs a value above 0 and at most 1, e.g. 0.3")
        self.ratio, self.min_patches, self.max_patches, self.min_aspect = ratio, min_patches, max_patches, min_aspect

    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Ranking:
        """B images of a grid of L patches -> ranking (B, L).

        Raises:
            ValueError: where not even the smallest block fits on the grid.
        """
        rows, columns = grid
        L = rows * columns
        target = math.ceil(L * self.ratio)
        smallest = self.min_patches or (min(grid) // 3) ** 2 or 1
        largest = min(target, self.max_patches or target)
        if smallest > (rows - 1) * (columns - 1):
            raise ValueError(
                f"blocks of {smallest} patches do not fit on a grid of {rows} x {columns} with a margin of one; "
                f"masker.score.min_patches may be at most {(rows - 1) * (columns - 1)}"
            )
        noise, draws = uniform(batch.key, L + 4 * ATTEMPTS, MASK).split([L, 4 * ATTEMPTS], dim=1)
        span = -2 * math.log(self.min_aspect)
        blocks = Blocks(
            batch.key.new_zeros((len(batch.key), rows, columns), dtype=torch.float32),
            batch.key.new_zeros(len(batch.key)),
        )
        for area, aspect, top, left in draws.unflatten(1, (ATTEMPTS, 4)).permute(1, 2, 0):  # each (B,), uniform
            limit = (target - blocks.hidden()).clamp(max=largest)
            height, width = sides(smallest + (limit - smallest) * area, ((aspect - 0.5) * span).exp())
            top, left = (top * (rows - height + 1)).floor(), (left * (columns - width + 1)).floor()
            blocks = place(blocks, height, width, top, left, limit)
        return Ranking(blocks.age.flatten(1) + noise)
