"""Means of patches, weighted by attention that something pays them (Beyond [cls], arXiv
2412.03215).
"""

from torch import Tensor, nn

from mim.pool.centre_patches import centre
from mim.pool.pool import CLS, Needs, Shape
from mim.ranges import Count, in_range


def weighted(patches: Tensor, attention: Tensor) -> Tensor:
    """The mean of patches (B, L, D), weighted by attention to them (B, L), whatever that sums to ->
    (B, D).
    """
    weight = attention / attention.sum(dim=1, keepdim=True)
    return (weight[:, None].to(patches.dtype) @ patches)[:, 0]


class MeanAttention(nn.Module):
    """The mean of the patches, weighted by the attention that the cls token pays them, over all
    heads: `attn-mn`.
    """

    needs = Needs(queries=(CLS,))

    def forward(self, patches: Tensor, attention: Tensor) -> Tensor:
        """Patches (B, L, D), and attention of cls to them (B, A, 1, L) -> (B, D)."""
        return weighted(patches, attention[:, :, 0].mean(dim=1))


class LowestEntropy(nn.Module):
    """The mean of the patches, weighted by one head's attention of the cls token: for each image
    the head of lowest entropy (`attn-lcte`)."""

    needs = Needs(queries=(CLS,))

    def forward(self, patches: Tensor, attention: Tensor) -> Tensor:
        """Patches (B, L, D), and attention of cls to them (B, A, 1, L) -> (B, D)."""
        share = attention[:, :, 0]
        share = share / share.sum(dim=-1, keepdim=True)
        entropy = -(share * (share + 1e-6).log()).sum(dim=-1)  # (B, A)
        return weighted(
            patches, share.take_along_dim(entropy.argmin(dim=1)[:, None, None], dim=1)[:, 0]
        )


class CentreAttention(nn.Module):
    """The mean of the patches, weighted by the attention that the patches in the middle pay them,
    over all heads: `ca1` to `ca4`.

    The release divides this by the number of patches, because it takes the mean of what is already
    weighted.

    Args:
        shape: of the tokens.
        side: how many patches a side look.
        as_released: divide as the release does.
    """

    @in_range
    def __init__(self, shape: Shape, side: Count, as_released: bool = False):
        super().__init__()
        self.needs = Needs(queries=tuple(centre(shape.grid, side)))
        self.divisor = shape.grid[0] * shape.grid[1] if as_released else 1

    def forward(self, patches: Tensor, attention: Tensor) -> Tensor:
        """Patches (B, L, D), and attention of the middle to them (B, A, queries, L) -> (B, D)."""
        return weighted(patches, attention.mean(dim=(1, 2))) / self.divisor
