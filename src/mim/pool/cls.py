"""The cls token."""

from torch import Tensor, nn


class Cls(nn.Module):
    """Represent an image by its cls token."""

    needs_cls = True

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + L, D), cls first -> (B, D)."""
        return tokens[:, 0]
