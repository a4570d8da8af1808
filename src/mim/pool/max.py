"""The largest value of each channel."""

from torch import Tensor, nn

from mim.pool.pool import Needs


class Max(nn.Module):
    """Represent an image by the maximum of each channel over its patch tokens, without the cls token."""

    needs = Needs()

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (B, L, D) -> (B, D)."""
        return patches.amax(dim=1)
