import numpy as np
import pytest
import torch
from skimage.feature import hog

from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.split import Split
from mim.target.hog import HOG

SPLIT = Split(visible=torch.tensor([[[0]], [[3]]]), masked=torch.tensor([[[3, 1]], [[0, 2]]]))


def pictures(size: int, count: int = 2) -> torch.Tensor:
    """Smooth fields with some noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 3, 5, 5, generator=generator, dtype=torch.float64)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    return smooth + 0.1 * torch.randn(smooth.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("patch_size", "cells", "bins"), [(16, 2, 9), (8, 1, 6), (4, 1, 9), (12, 3, 8)]
)
def test_histograms_are_those_of_scikit_image(patch_size, cells, bins):
    image = pictures(48)
    cell = patch_size // cells
    ours = (
        HOG(Geometry.of(patch_size, patch_size), cells, bins)
        .histograms(image)
        .unflatten(1, (3, bins))
    )
    for picture, histograms in zip(image, ours, strict=True):
        for channel, histogram in zip(picture, histograms, strict=True):
            theirs = hog(
                channel.numpy(), bins, (cell, cell), (1, 1), block_norm="L2", feature_vector=False
            )
            # scikit-image returns (rows, columns, 1, 1, bins)
            assert np.abs(histogram.permute(1, 2, 0).numpy() - theirs[:, :, 0, 0]).max() < 1e-6


def test_a_ramp_has_one_direction():
    ramp = torch.arange(16.0).expand(1, 3, 16, 16)
    across = HOG(Geometry.of(16, 16)).histograms(ramp).unflatten(1, (3, 9))
    down = HOG(Geometry.of(16, 16)).histograms(ramp.mT).unflatten(1, (3, 9))
    assert torch.allclose(across[:, :, 0], torch.ones(1, 3, 2, 2))
    # 90 of 180 degrees: the fifth of nine
    assert torch.allclose(down[:, :, 4], torch.ones(1, 3, 2, 2))
    assert across[:, :, 1:].abs().max() == down[:, :, :4].abs().max() == 0


def test_the_release_has_other_filters_and_counts_directions_from_the_vertical():
    """A ramp down has direction 0 there; mirrored at the border, its first and last row have no
    gradient.
    """
    hog, ramp = HOG(Geometry.of(16, 16), gradient="sobel"), torch.arange(16.0).expand(1, 3, 16, 16)
    down, across = (hog.histograms(x).unflatten(1, (3, 9)) for x in (ramp.mT, ramp))
    assert torch.allclose(down[:, :, 0], torch.ones(1, 3, 2, 2))
    assert torch.allclose(across[:, :, 4], torch.ones(1, 3, 2, 2))
    assert hog.dim == HOG(Geometry.of(16, 16)).dim
    image = pictures(32)
    assert torch.allclose(hog.histograms(image), hog.histograms(5 * image - 3), atol=1e-4)
    length = hog.histograms(image).unflatten(1, (3, 9)).norm(dim=2)
    assert torch.allclose(length, torch.ones_like(length))


def test_a_patch_is_its_cells_in_reading_order():
    loss, image = Term(HOG(Geometry.of(16, 16), cells=2)), pictures(32)
    target = loss.target(image, SPLIT)
    assert target.shape == (2, 1, 2, loss.target_dim) == (2, 1, 2, 108)
    cells = loss.target.histograms(image)  # (2, 27, 4, 4)
    lower_left = torch.stack([cells[1, :, r, c] for r in (2, 3) for c in (0, 1)]).flatten()
    assert torch.equal(target[1, 0, 1], lower_left)


def test_light_and_contrast_do_not_matter():
    image = pictures(32)
    assert torch.allclose(
        HOG(Geometry.of(16, 16)).histograms(image),
        HOG(Geometry.of(16, 16)).histograms(5 * image - 3),
        atol=1e-4,
    )


def test_a_flat_patch_has_an_empty_histogram():
    assert HOG(Geometry.of(16, 16)).histograms(torch.full((1, 3, 16, 16), 0.3)).abs().max() == 0


def test_error_is_averaged_over_values_and_masked_patches():
    loss, image = Term(HOG(Geometry.of(16, 16))), pictures(32)
    prediction = (
        loss.target(image, SPLIT) + torch.tensor([1.0, -2.0]).view(1, 1, 2, 1)
    ).requires_grad_()
    value = loss(prediction, image, SPLIT)
    value.backward()
    assert value.item() == pytest.approx((1 + 4) / 2)
    assert prediction.grad[0, 0, 0, 0].item() == pytest.approx(2 / prediction.numel())
    padded = SPLIT._replace(masked_valid=torch.tensor([[[True, True]], [[True, False]]]))
    assert loss(prediction, image, padded).item() == pytest.approx((1 + 4 + 1) / 3)


def test_cells_that_do_not_tile_a_patch_are_refused():
    with pytest.raises(
        ValueError, match=r"patch of 8 x 8 pixels into 3 x 3 cells; target.cells may be 1, 2, 4, 8"
    ):
        HOG(Geometry.of(8, 8), cells=3)
    with pytest.raises(ValueError, match="not divisible by patch_size=16"):
        HOG(Geometry.of(16, 16)).histograms(pictures(24))


def test_a_patch_has_four_cells_of_nine_directions_unless_told_otherwise():
    assert HOG(Geometry.of(32, 16)).dim == 3 * 9 * 4
