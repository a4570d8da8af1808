"""The largest value of each channel."""

from torch import Tensor, nn


class Max(nn.Module):
    """Represent an image by the maximum of each channel over its patch tokens, without the cls token."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + L, D), cls first -> (B, D)."""
        return tokens[:, 1:].amax(dim=1)
