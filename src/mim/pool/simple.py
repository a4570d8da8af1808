"""Pools that ask for tokens alone: cls, the mean or the maximum of the patches, a mean that is
normalised, cls beside the mean.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from mim.pool.pool import Needs


class Cls(nn.Module):
    """Represent an image by its cls token."""

    needs = Needs(cls=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Cls token and patches (B, 1 + L, D) -> (B, D)."""
        return tokens[:, 0]


class Mean(nn.Module):
    """Represent an image by the mean of its patch tokens, without the cls token."""

    needs = Needs()

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (B, L, D) -> (B, D)."""
        return patches.mean(dim=1)


class NormedMean(nn.Module):
    """Represent an image by the mean of its patch tokens, of mean 0 and deviation 1 over its
    channels.

    BootMAE's linear probe has a layer norm there, with its starting values (LightDXY/BootMAE,
    mae_util/models.py: 280-285).
    """

    needs = Needs()

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (B, L, D) -> (B, D)."""
        return layer_norm(patches.mean(dim=1), patches.shape[-1:], eps=1e-6)


class Max(nn.Module):
    """Represent an image by the maximum of each channel over its patch tokens, without the cls
    token.
    """

    needs = Needs()

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (B, L, D) -> (B, D)."""
        return patches.amax(dim=1)


class ClsMean(nn.Module):
    """Represent an image by its cls token and the mean of its patch tokens, one after the other
    (DINOv2, arXiv 2304.07193).

    The release of Beyond [cls] has this as `return_features="both"`, where it fails.
    """

    needs = Needs(cls=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Cls token and patches (B, 1 + L, D) -> (B, 2 D)."""
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1)
