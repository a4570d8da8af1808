"""What the cls token attends to, over all heads: `attn-mn` of Beyond [cls] (arXiv 2412.03215)."""

from torch import Tensor, nn

from mim.pool.weighted import weighted


class MeanAttention(nn.Module):
    """The mean of the patches, weighted by the attention that the cls token pays them, over all heads."""

    rows = (0,)

    def forward(self, tokens: Tensor, attention: Tensor) -> Tensor:
        """(B, 1 + L, D), cls first, and attention of cls (B, A, 1, 1 + L) -> (B, D)."""
        return weighted(tokens, attention[:, :, 0, 1:].mean(dim=1))
