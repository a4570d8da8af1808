"""Predict the pixels of masked patches (MAE, arXiv 2111.06377; SimMIM, arXiv 2111.09886)."""

from typing import Literal

import torch
from torch import Tensor, nn

from mim.loss.masked_mean import masked_mean
from mim.loss.precision import at_least_single
from mim.masker.split import Split
from mim.tokens import patchify, take


class Pixel(nn.Module):
    """Mean error over the pixels of masked patches.

    Args:
        patch_size: pixels per side of a patch.
        normalise: standardise each patch first, with the unbiased variance and 1e-6 under the root (MAE's norm_pix_loss).
        norm: "l2" squares the error (MAE), "l1" takes its absolute value (SimMIM).
    """

    def __init__(self, patch_size: int, normalise: bool = True, norm: Literal["l1", "l2"] = "l2"):
        super().__init__()
        self.patch_size, self.normalise, self.norm = patch_size, normalise, norm
        self.target_dim = 3 * patch_size**2

    def target(self, image: Tensor, masked: Tensor) -> Tensor:
        """(B, 3, H, W), indices (B, K, Lm) -> (B, K, Lm, P), at least float32.

        Patches are standardised before they are picked, each once, however many parts predict it.
        """
        patches = at_least_single(patchify(image, self.patch_size))
        if self.normalise:
            mean, std = _statistics(patches)
            patches = (patches - mean) / std
        return take(patches, masked)

    def pixels(self, prediction: Tensor, image: Tensor, masked: Tensor) -> Tensor:
        """What was predicted, as pixels: each normalised patch gets its own mean and deviation back.

        (B, K, Lm, P), (B, 3, H, W), indices (B, K, Lm) -> (B, K, Lm, P).
        """
        if not self.normalise:
            return prediction
        mean, std = _statistics(at_least_single(patchify(image, self.patch_size)))
        return prediction * take(std, masked) + take(mean, masked)

    def forward(self, prediction: Tensor, image: Tensor, split: Split) -> Tensor:
        """(B, K, Lm, P), (B, 3, H, W) and the masked indices (B, K, Lm) -> scalar; padding counts for nothing."""
        error = at_least_single(prediction) - self.target(image, split.masked)
        return masked_mean((error.abs() if self.norm == "l1" else error.square()).mean(-1), split)


def _statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each patch, kept away from 0: (..., P) -> two of (..., 1)."""
    var, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return mean, (var + 1e-6).sqrt()
