"""Hide rectangles first (BEiT, arXiv 2106.08254, algorithm 1; unilm, beit/masking_generator.py).

BEiT places one block after another until enough patches are hidden. Here that order is a score:
patches of earlier blocks rank higher, all others follow at random. A partition that hides `ratio`
of the patches gets BEiT's mask; where BEiT stops a few patches short, because ten attempts in a row
placed nothing, random patches complete it.
"""

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.draw import MASK, uniform
from mim.masker.score.ranking import Ranking
from mim.ranges import Count, Fraction, SomeShare, in_range

MinAspect = Annotated[SomeShare, "e.g. 0.3"]
"""Least width over height of a block, or height over width."""
# A fixed number of attempts, so that the host need not ask the device which images are done. After
# 48, BEiT would go on with none of 2,000 images on a grid of 14 x 14 at ratios up to 0.75 (10 % at
# 0.9), and with 2 % on 28 x 28 at 0.75.
ATTEMPTS = 48
PATIENCE = 10


def sides(area: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width of blocks, in whole patches: (B,), (B,) -> (B,), (B,)."""
    return (area * aspect).sqrt().round(), (area / aspect).sqrt().round()


def place(
    age: Tensor,
    failed: Tensor,
    height: Tensor,
    width: Tensor,
    top: Tensor,
    left: Tensor,
    limit: Tensor,
) -> tuple[Tensor, Tensor]:
    """One attempt on each image; it counts where the block fits with a margin, hides something new
    and not too much.

    Args:
        age: (B, rows, columns), attempts since a block hid the patch; 0 where none has.
        failed: (B,), attempts in a row that did not count.
        height, width, top, left: (B,), of the block, in patches.
        limit: (B,), most patches it may hide.

    Returns:
        age and failed after the attempt.
    """
    _, rows, columns = age.shape
    row = torch.arange(rows, device=age.device)
    column = torch.arange(columns, device=age.device)
    inside_rows = (row >= top[:, None]) & (row < (top + height)[:, None])
    inside_columns = (column >= left[:, None]) & (column < (left + width)[:, None])
    new = inside_rows[:, :, None] & inside_columns[:, None] & (age == 0)
    gain = new.sum((1, 2))
    counts = (
        (height < rows) & (width < columns) & (gain > 0) & (gain <= limit) & (failed < PATIENCE)
    )
    age = age + ((age > 0) | (new & counts[:, None, None]))
    return age, torch.where(counts, 0, failed + 1)


# One operator to `torch.compile`: unrolled into 48 attempts it took a minute to compile and ran no
# faster.
@torch.library.custom_op("mim::place_blocks", mutates_args=())
def place_blocks(
    draws: Tensor,
    rows: int,
    columns: int,
    target: Tensor,
    smallest: int,
    largest: int,
    min_aspect: float,
) -> Tensor:
    """Uniform draws (B, ATTEMPTS, 4) -> age (B, rows, columns) as in `place`, once `target` (B,)
    patches are hidden.
    """
    age = draws.new_zeros(len(draws), rows, columns)
    failed = torch.zeros(len(draws), dtype=torch.int64, device=draws.device)
    span = -2 * math.log(min_aspect)  # from log(min_aspect) to log(1 / min_aspect)
    for number, (area, aspect, top, left) in enumerate(draws.permute(1, 2, 0)):
        limit = (target - (age > 0).sum((1, 2))).clamp(max=largest)
        if draws.device.type == "cpu" and not ((limit >= 1) & (failed < PATIENCE)).any():
            return age + (len(draws[0]) - number) * (age > 0)  # no later attempt would count
        height, width = sides(smallest + (limit - smallest) * area, ((aspect - 0.5) * span).exp())
        top, left = (top * (rows - height + 1)).floor(), (left * (columns - width + 1)).floor()
        age, failed = place(age, failed, height, width, top, left, limit)
    return age


@place_blocks.register_fake
def _(draws: Tensor, rows: int, columns: int, *_: Tensor | float) -> Tensor:
    return draws.new_empty(len(draws), rows, columns)


def smallest_block(grid: tuple[int, int], min_patches: int | None) -> int:
    """Area of the smallest block that is tried, in patches: None for a third of the shorter side,
    squared.

    Raises:
        ValueError: where it does not fit on the grid.
    """
    rows, columns = grid
    smallest = min_patches or max(1, (min(grid) // 3) ** 2)
    if smallest > (rows - 1) * (columns - 1):
        raise ValueError(
            f"blocks of {smallest} patches do not fit on a grid of {rows} x {columns} with a "
            "margin of one; "
            f"masker.score.min_patches may be at most {(rows - 1) * (columns - 1)}"
        )
    return smallest


class Block(nn.Module):
    """Patches of blocks that were placed early are hidden first.

    Args:
        ratio: share of patches to cover with blocks, the partition's ratio: no block may hide more
            than is left of it.
        min_patches: smallest area that is tried; None for a third of the shorter side, squared: 16
            on BEiT's 14 x 14.
        max_patches: most patches that one block may hide; None for no limit but what is left.
        min_aspect: the most slender shape, height over width; its inverse is the flattest.
    """

    needs_tokens = False

    @in_range
    def __init__(
        self,
        ratio: Fraction,
        min_patches: Count | None = None,
        max_patches: Count | None = None,
        min_aspect: MinAspect = 0.3,
    ):
        super().__init__()
        if (min_patches or 1) > (max_patches or math.inf):
            raise ValueError(
                f"Block got min_patches={min_patches}, max_patches={max_patches}; "
                "needs 1 <= min_patches <= max_patches or null, e.g. masker.score.min_patches=4"
            )
        self.ratio, self.min_patches, self.max_patches, self.min_aspect = (
            ratio,
            min_patches,
            max_patches,
            min_aspect,
        )

    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Ranking:
        """B images of a grid of L patches -> ranking (B, L).

        Raises:
            ValueError: where not even the smallest block fits on the grid.
        """
        rows, columns = grid
        smallest = smallest_block(grid, self.min_patches)
        target = math.ceil(rows * columns * self.ratio)
        largest = min(target, self.max_patches or target)
        draws = uniform(batch.key, rows * columns + ATTEMPTS * 4, MASK)
        noise, draws = (
            draws[:, : rows * columns],
            draws[:, rows * columns :].unflatten(1, (ATTEMPTS, 4)),
        )
        targets = torch.full((len(draws),), target, device=draws.device)
        age = place_blocks(draws, rows, columns, targets, smallest, largest, self.min_aspect)
        return Ranking(age.flatten(1) + noise)
