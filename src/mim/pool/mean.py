"""The mean patch token."""

from torch import Tensor, nn


class Mean(nn.Module):
    """Represent an image by the mean of its patch tokens, without the cls token."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + L, D), cls first -> (B, D)."""
        return tokens[:, 1:].mean(dim=1)
