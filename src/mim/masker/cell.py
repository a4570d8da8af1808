"""Mask squares of several patches as one (SimMIM, arXiv 2111.09886): pool scores to cells, spread
splits to patches.
"""

import torch
from torch import Tensor

from mim.masker.score.ranking import Ranking
from mim.masker.split import Split


def cells_of(grid: tuple[int, int], cell: int) -> tuple[int, int]:
    """Rows and columns of cells on a grid of patches.

    Raises:
        ValueError: where cells do not tile the grid.
    """
    rows, columns = grid
    if rows % cell or columns % cell:
        fitting = [c for c in range(1, min(grid) + 1) if rows % c == 0 and columns % c == 0]
        raise ValueError(
            f"cells of {cell} x {cell} patches do not tile a grid of {rows} x {columns} patches; "
            f"masker.cell may be {', '.join(map(str, fitting))}"
        )
    return rows // cell, columns // cell


def pool_to_cells(ranking: Ranking, cells: tuple[int, int], cell: int) -> Ranking:
    """Mean over the patches of each cell: rank and salience (B, L) -> (B, L / cell**2)."""

    def pool(score: Tensor) -> Tensor:
        return score.view(-1, cells[0], cell, cells[1], cell).mean((2, 4)).flatten(1)

    return Ranking(pool(ranking.rank), None if ranking.salience is None else pool(ranking.salience))


def split_to_patches(split: Split, cells: tuple[int, int], cell: int) -> Split:
    """Indices of cells (B, K, M) -> indices of their patches (B, K, M * cell**2)."""
    columns = cells[1]
    device = split.visible.device
    row, column = torch.meshgrid(
        torch.arange(cell, device=device), torch.arange(cell, device=device), indexing="ij"
    )
    inside = (row * columns * cell + column).flatten()  # patches of a cell, from its first

    def spread(index: Tensor) -> Tensor:
        first = index // columns * (cell * columns * cell) + index % columns * cell
        return (first[..., None] + inside).flatten(-2)

    def repeat(valid: Tensor | None) -> Tensor | None:
        return None if valid is None else valid.repeat_interleave(cell**2, dim=-1)

    visible_valid, masked_valid = repeat(split.visible_valid), repeat(split.masked_valid)
    return Split(
        spread(split.visible), spread(split.masked), visible_valid, masked_valid, split.whole
    )
