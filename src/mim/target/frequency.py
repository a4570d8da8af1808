"""Cosine transform of masked patches (DCT-II; Ahmed, Natarajan & Rao, IEEE Trans. Computers, 1974)."""

import math

import torch
from torch import Tensor, nn

from mim.masker.split import Split
from mim.precision import at_least_single
from mim.target.pixel import Pixel


class Frequency(nn.Module):
    """Low frequencies of each masked patch.

    The transform is orthonormal: with all frequencies and squared errors this is the pixel target in another basis.
    Fewer frequencies ask for less detail; absolute errors treat the basis differently.

    Args:
        patch_size: pixels per side of a patch.
        keep: frequencies kept per axis, from the lowest; null for all.
        normalise: standardise the pixels of each patch first, as MAE does.
    """

    basis: Tensor

    def __init__(self, patch_size: int, keep: int | None = None, normalise: bool = True):
        super().__init__()
        keep = patch_size if keep is None else keep
        if not 1 <= keep <= patch_size:
            raise ValueError(
                f"Frequency got keep={keep}; a patch of {patch_size} x {patch_size} pixels has 1 to {patch_size} "
                f"frequencies per axis, e.g. target.keep={(patch_size + 1) // 2}"
            )
        self.patch_size, self.keep = patch_size, keep
        self.pixel = Pixel(patch_size, normalise)
        self.dim = 3 * keep**2
        self.register_buffer("basis", cosines(patch_size)[:keep], persistent=False)

    def forward(self, image: Tensor, split: Split) -> Tensor:
        """(B, 3, H, W), masked indices (B, K, Lm) -> (B, K, Lm, P).

        The values of a patch are (row frequency, column frequency, channel).
        """
        tiles = self._tiles(self.pixel(image, split))
        basis = self.basis.to(tiles.dtype)
        return (basis @ tiles @ basis.mT).movedim(-3, -1).flatten(-3)

    def to_pixels(self, prediction: Tensor, image: Tensor, masked: Tensor) -> Tensor:
        """Predictions as pixels, without the frequencies that were left out.

        (B, K, Lm, P), (B, 3, H, W), indices (B, K, Lm) -> (B, K, Lm, 3 * patch_size**2).
        """
        tiles = self._tiles(at_least_single(prediction))
        basis = self.basis.to(tiles.dtype)
        return self.pixel.to_pixels((basis.mT @ tiles @ basis).movedim(-3, -1).flatten(-3), image, masked)

    @staticmethod
    def _tiles(values: Tensor) -> Tensor:
        """(..., n * n * 3) -> (..., 3, n, n)."""
        side = math.isqrt(values.shape[-1] // 3)
        return values.unflatten(-1, (side, side, 3)).movedim(-1, -3)


def cosines(n: int) -> Tensor:
    """The orthonormal DCT-II of n values, one frequency a row: (n, n) float64."""
    place, frequency = torch.arange(n, dtype=torch.float64), torch.arange(n, dtype=torch.float64)
    basis = torch.cos(math.pi / n * frequency[:, None] * (place + 0.5)) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis
