"""Histograms of oriented gradients of masked patches (MaskFeat, arXiv 2112.09133; Dalal & Triggs,
CVPR 2005).
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, normalize, pad

from mim.geometry import Geometry, grid_of
from mim.masker.split import Split
from mim.precision import at_least_single
from mim.ranges import Count, in_range
from mim.tokens import take_patches


class HOG(nn.Module):
    """Histograms of gradient directions of each masked patch.

    Each channel of a cell of pixels has one histogram of gradient directions, without their sign,
    weighted by magnitude and of unit length.

    Args:
        geometry: of the images.
        cells: cells per side of a patch (MaskFeat: 2, of 8 x 8 pixels in patches of 16 x 16); as
            oblong as the patch.
        bins: directions that are told apart.
        gradient: "central" is [-1, 0, 1], 0 across the image's border, as in the paper and in
            scikit-image; "sobel" is that of MaskFeat's release, which mirrors the image at its
            border and counts directions from the vertical (facebookresearch/SlowFast,
            slowfast/models/operators.py: HOGLayerC; none of its configs has its Gaussian window).
    """

    @in_range
    def __init__(
        self,
        geometry: Geometry,
        cells: Count = 2,
        bins: Count = 9,
        gradient: Literal["central", "sobel"] = "central",
    ):
        super().__init__()
        height, width = geometry.patch_size
        if cells < 1 or height % cells or width % cells:
            divisors = [d for d in range(1, height + 1) if height % d == 0 and width % d == 0]
            raise ValueError(
                f"HOG cannot cut a patch of {height} x {width} pixels into {cells} x {cells} "
                "cells; "
                f"target.cells may be {', '.join(map(str, divisors))}"
            )
        self.geometry, self.cells, self.bins, self.gradient = geometry, cells, bins, gradient
        self.cell = height // cells, width // cells
        self.dim = geometry.channels * bins * cells**2

    @torch.no_grad()
    def histograms(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C * bins, rows of cells, columns of cells), each histogram of unit
        length or 0.
        """
        grid_of((image.shape[2], image.shape[3]), self.geometry.patch_size)
        image = at_least_single(image)
        down, across = (_central if self.gradient == "central" else _sobel)(image)
        magnitude = torch.hypot(down, across)
        angle = (
            torch.atan2(down, across) if self.gradient == "central" else torch.atan2(across, down)
        )
        bin = (angle / math.pi * self.bins).floor().remainder(self.bins)
        # Bin by bin: a scatter would need `bins` times the image at once, and adds in no fixed
        # order on a GPU.
        histogram = torch.stack(
            [avg_pool2d(magnitude * (bin == i), self.cell) for i in range(self.bins)], dim=2
        )
        if self.gradient == "sobel":
            return normalize(histogram, dim=2).flatten(1, 2)
        # scikit-image: 1e-5, squared
        length = (histogram.square().sum(2, keepdim=True) + 1e-10).sqrt()
        return (histogram / length).flatten(1, 2)

    def forward(self, image: Tensor, split: Split) -> Tensor:
        """(B, C, H, W), masked indices (B, K, Lm) -> (B, K, Lm, P), a patch being (cell row, cell
        column, channel, bin).
        """
        return take_patches(self.histograms(image), split.masked, self.cells)


def _central(image: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of the pixels on both sides, down and across, 0 at the border: two of (B, C, H,
    W).
    """
    down, across = torch.zeros_like(image), torch.zeros_like(image)
    down[:, :, 1:-1] = image[:, :, 2:] - image[:, :, :-2]
    across[..., 1:-1] = image[..., 2:] - image[..., :-2]
    return down, across


def _sobel(image: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel's differences, backwards as in the release, of the image mirrored at its border: two of
    (B, C, H, W).
    """
    image = pad(image, (1, 1, 1, 1), mode="reflect")
    rows = image[..., :-2] + 2 * image[..., 1:-1] + image[..., 2:]
    columns = image[:, :, :-2] + 2 * image[:, :, 1:-1] + image[:, :, 2:]
    return rows[:, :, :-2] - rows[:, :, 2:], columns[..., :-2] - columns[..., 2:]
