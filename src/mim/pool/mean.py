"""The mean patch token."""

from torch import Tensor, nn

from mim.pool.pool import Needs


class Mean(nn.Module):
    """Represent an image by the mean of its patch tokens, without the cls token."""

    needs = Needs()

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (B, L, D) -> (B, D)."""
        return patches.mean(dim=1)
