"""The cls token."""

from torch import Tensor, nn

from mim.pool.pool import Needs


class Cls(nn.Module):
    """Represent an image by its cls token."""

    needs = Needs(cls=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Cls token and patches (B, 1 + L, D) -> (B, D)."""
        return tokens[:, 0]
