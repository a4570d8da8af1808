"""The patches in the middle of the picture: cp1 to cp4 of Beyond [cls] (arXiv 2412.03215)."""

from torch import Tensor, nn

from mim.pool.pool import Needs, Shape
from mim.ranges import Count, in_range


def centre(grid: tuple[int, int], side: int) -> list[int]:
    """Numbers of the side x side patches in the middle; of two middles, the upper left one.

    Raises:
        ValueError: where the grid has no such square.
    """
    rows, columns = grid
    if not 1 <= side <= min(grid):
        raise ValueError(
            f"side={side} of the middle does not fit into {rows} x {columns} patches; needs 1 to "
            f"{min(grid)}"
        )
    top, left = (rows - side) // 2, (columns - side) // 2
    return [
        row * columns + column
        for row in range(top, top + side)
        for column in range(left, left + side)
    ]


class CentrePatches(nn.Module):
    """Represent an image by the mean of the patches in its middle.

    Args:
        shape: of the tokens.
        side: how many of them a side.
    """

    needs = Needs()

    @in_range
    def __init__(self, shape: Shape, side: Count):
        super().__init__()
        self.patches = centre(shape.grid, side)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (B, L, D) -> (B, D)."""
        return patches[:, self.patches].mean(dim=1)
