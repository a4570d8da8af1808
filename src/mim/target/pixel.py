"""Pixels of masked patches (MAE, arXiv 2111.06377, section 3; SimMIM, arXiv 2111.09886)."""

import torch
from torch import Tensor, nn

from mim.geometry import Geometry
from mim.masker.split import Split
from mim.precision import at_least_single
from mim.tokens import patchify, take


class Pixel(nn.Module):
    """Pixel values of each masked patch, channels last, standardised patch by patch if `normalise`.

    Args:
        geometry: of the images.
        normalise: standardise each patch with its unbiased variance and 1e-6 under the root (MAE's
            norm_pix_loss).
    """

    def __init__(self, geometry: Geometry, normalise: bool = True):
        super().__init__()
        self.geometry, self.normalise = geometry, normalise
        self.dim = geometry.values_per_patch

    def forward(self, image: Tensor, split: Split) -> Tensor:
        """(B, C, H, W), masked indices (B, K, Lm) -> (B, K, Lm, P), at least float32.

        Patches are standardised before they are picked, each once, however many parts predict it.
        """
        patches = at_least_single(patchify(image, self.geometry.patch_size))
        if self.normalise:
            mean, std = _statistics(patches)
            patches = (patches - mean) / std
        return take(patches, split.masked)

    def to_pixels(self, prediction: Tensor, image: Tensor, masked: Tensor) -> Tensor:
        """Predictions as pixels: each normalised patch gets its own mean and deviation back.

        (B, K, Lm, P), (B, C, H, W), indices (B, K, Lm) -> (B, K, Lm, P).
        """
        if not self.normalise:
            return prediction
        mean, std = _statistics(at_least_single(patchify(image, self.geometry.patch_size)))
        return prediction * take(std, masked) + take(mean, masked)


def _statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each patch, kept away from 0: (..., P) -> two of (..., 1)."""
    var, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return mean, (var + 1e-6).sqrt()
