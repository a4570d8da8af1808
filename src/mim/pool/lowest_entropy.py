"""What the most selective head of the cls token attends to: `attn-lcte` of Beyond [cls] (arXiv 2412.03215)."""

from torch import Tensor, nn

from mim.pool.pool import CLS, Needs
from mim.pool.weighted import weighted


class LowestEntropy(nn.Module):
    """The mean of the patches, weighted by one head's attention of the cls token: for each image the head of lowest entropy."""

    needs = Needs(queries=(CLS,))

    def forward(self, patches: Tensor, attention: Tensor) -> Tensor:
        """Patches (B, L, D), and attention of cls to them (B, A, 1, L) -> (B, D)."""
        share = attention[:, :, 0]
        share = share / share.sum(dim=-1, keepdim=True)
        entropy = -(share * (share + 1e-6).log()).sum(dim=-1)  # (B, A)
        return weighted(patches, share.take_along_dim(entropy.argmin(dim=1)[:, None, None], dim=1)[:, 0])
