"""What the cls token attends to, over all heads: `attn-mn` of Beyond [cls] (arXiv 2412.03215)."""

from torch import Tensor, nn

from mim.pool.pool import CLS, Needs
from mim.pool.weighted import weighted


class MeanAttention(nn.Module):
    """The mean of the patches, weighted by the attention that the cls token pays them, over all heads."""

    needs = Needs(queries=(CLS,))

    def forward(self, patches: Tensor, attention: Tensor) -> Tensor:
        """Patches (B, L, D), and attention of cls to them (B, A, 1, L) -> (B, D)."""
        return weighted(patches, attention[:, :, 0].mean(dim=1))
