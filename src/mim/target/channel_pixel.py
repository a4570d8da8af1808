"""Pixels of masked patches, each channel of a patch standardised by itself (BootMAE, arXiv
2207.07116).
"""

import torch
from torch import Tensor, nn

from mim.geometry import Geometry
from mim.masker.split import Split
from mim.precision import at_least_single
from mim.tokens import patchify, take


class ChannelPixel(nn.Module):
    """Pixel values of each masked patch, channels last; each channel of a patch has mean 0 and
    deviation 1.

    With the biased variance and 1e-5 under the root (LightDXY/BootMAE, run_pretraining.py:
    train_one_epoch).

    Args:
        geometry: of the images.
    """

    def __init__(self, geometry: Geometry):
        super().__init__()
        self.geometry = geometry
        self.dim = geometry.values_per_patch

    def forward(self, image: Tensor, split: Split) -> Tensor:
        """(B, C, H, W), masked indices (B, K, Lm) -> (B, K, Lm, P), at least float32."""
        pixels, mean, std = self._statistics(image)
        return take(((pixels - mean) / std).flatten(2), split.masked)

    def to_pixels(self, prediction: Tensor, image: Tensor, masked: Tensor) -> Tensor:
        """Predictions as pixels: each channel of a patch gets its own mean and deviation back.

        (B, K, Lm, P), (B, C, H, W), indices (B, K, Lm) -> (B, K, Lm, P).
        """
        pixels, mean, std = self._statistics(image)
        mean, std = (take(x.expand_as(pixels).flatten(2), masked) for x in (mean, std))
        return prediction * std + mean

    def _statistics(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels (B, L, pixels, C), and mean and deviation (B, L, 1, C)."""
        patches = at_least_single(patchify(image, self.geometry.patch_size))
        pixels = patches.unflatten(-1, (-1, self.geometry.channels))
        var, mean = torch.var_mean(pixels, dim=2, keepdim=True, correction=0)
        return pixels, mean, (var + 1e-5).sqrt()
