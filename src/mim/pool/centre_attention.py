"""What the middle of the picture attends to: ca1 to ca4 of Beyond [cls] (arXiv 2412.03215)."""

from torch import Tensor, nn

from mim.pool.centre_patches import centre
from mim.pool.pool import Needs, Shape
from mim.pool.weighted import weighted


class CentreAttention(nn.Module):
    """The mean of the patches, weighted by the attention that the patches in the middle pay them, over all heads.

    The release divides this by the number of patches, because it takes the mean of what is already weighted.

    Args:
        shape: of the tokens.
        side: how many patches a side look.
        as_released: divide as the release does.
    """

    def __init__(self, shape: Shape, side: int, as_released: bool = False):
        super().__init__()
        self.needs = Needs(queries=tuple(centre(shape.grid, side)))
        self.divisor = shape.grid[0] * shape.grid[1] if as_released else 1

    def forward(self, patches: Tensor, attention: Tensor) -> Tensor:
        """Patches (B, L, D), and attention of the middle to them (B, A, queries, L) -> (B, D)."""
        return weighted(patches, attention.mean(dim=(1, 2))) / self.divisor
