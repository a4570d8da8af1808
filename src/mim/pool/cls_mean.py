"""The cls token beside the mean patch token, as DINOv2 probes them (arXiv 2304.07193)."""

import torch
from torch import Tensor, nn

from mim.pool.pool import Needs


class ClsMean(nn.Module):
    """Represent an image by its cls token and by the mean of its patch tokens, one after the other.

    The release of Beyond [cls] has this as `return_features="both"`, where it fails.
    """

    needs = Needs(cls=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Cls token and patches (B, 1 + L, D) -> (B, 2 D)."""
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1)
