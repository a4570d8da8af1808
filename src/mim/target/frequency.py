"""Cosine transform of masked patches (DCT-II; Ahmed, Natarajan & Rao, IEEE Trans. Computers,
1974).
"""

import math

import torch
from torch import Tensor, nn

from mim.geometry import Geometry
from mim.masker.split import Split
from mim.precision import at_least_single
from mim.ranges import Count
from mim.target.pixel import Pixel


class Frequency(nn.Module):
    """Low frequencies of each masked patch.

    The transform is orthonormal: with all frequencies and squared errors this is the pixel target
    in another basis. Fewer frequencies ask for less detail; absolute errors treat the basis
    differently.

    Args:
        geometry: of the images.
        keep: frequencies kept per axis, from the lowest; null for all. Of oblong patches both axes
            keep as many.
        normalise: standardise the pixels of each patch first, as MAE does.
    """

    down: Tensor
    across: Tensor

    def __init__(self, geometry: Geometry, keep: Count | None = None, normalise: bool = True):
        super().__init__()
        (height, width), least = geometry.patch_size, min(geometry.patch_size)
        if keep is not None and not 1 <= keep <= least:
            raise ValueError(
                f"Frequency got keep={keep}; a patch of {height} x {width} pixels has 1 to {least} "
                f"frequencies per axis, e.g. target.keep={(least + 1) // 2}"
            )
        self.geometry, self.kept = geometry, (keep or height, keep or width)
        self.pixel = Pixel(geometry, normalise)
        self.dim = self.kept[0] * self.kept[1] * geometry.channels
        self.register_buffer("down", cosines(height)[: self.kept[0]], persistent=False)
        self.register_buffer("across", cosines(width)[: self.kept[1]], persistent=False)

    def forward(self, image: Tensor, split: Split) -> Tensor:
        """(B, C, H, W), masked indices (B, K, Lm) -> (B, K, Lm, P).

        The values of a patch are (row frequency, column frequency, channel).
        """
        tiles = self._tiles(self.pixel(image, split), self.geometry.patch_size)
        down, across = self.down.to(tiles.dtype), self.across.to(tiles.dtype)
        return (down @ tiles @ across.mT).movedim(-3, -1).flatten(-3)

    def to_pixels(self, prediction: Tensor, image: Tensor, masked: Tensor) -> Tensor:
        """Predictions as pixels, without the frequencies that were left out.

        (B, K, Lm, P), (B, C, H, W), indices (B, K, Lm) -> (B, K, Lm, values_per_patch).
        """
        tiles = self._tiles(at_least_single(prediction), self.kept)
        down, across = self.down.to(tiles.dtype), self.across.to(tiles.dtype)
        return self.pixel.to_pixels(
            (down.mT @ tiles @ across).movedim(-3, -1).flatten(-3), image, masked
        )

    def _tiles(self, values: Tensor, sides: tuple[int, int]) -> Tensor:
        """(..., rows * columns * C) -> (..., C, rows, columns)."""
        return values.unflatten(-1, (*sides, self.geometry.channels)).movedim(-1, -3)


def cosines(n: int) -> Tensor:
    """The orthonormal DCT-II of n values, one frequency a row: (n, n) float64."""
    place, frequency = torch.arange(n, dtype=torch.float64), torch.arange(n, dtype=torch.float64)
    basis = torch.cos(math.pi / n * frequency[:, None] * (place + 0.5)) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis
