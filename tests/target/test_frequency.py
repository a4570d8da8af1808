import pytest
import torch
from scipy.fft import dctn

from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.split import Split
from mim.target.frequency import Frequency, cosines
from mim.target.pixel import Pixel

IMAGE = torch.arange(2 * 3 * 8 * 8.0, dtype=torch.float64).square().sin().view(2, 3, 8, 8)
SPLIT = Split(visible=torch.tensor([[[0]], [[3]]]), masked=torch.tensor([[[3, 1]], [[0, 2]]]))


@pytest.mark.parametrize("keep", [4, 2])
def test_targets_are_the_low_frequencies_of_scipys_transform(keep):
    loss = Term(Frequency(Geometry.of(4, 4), keep=keep, normalise=False), "l1")
    target = loss.target(IMAGE, SPLIT)
    assert target.shape == (2, 1, 2, loss.target_dim) == (2, 1, 2, 3 * keep**2)
    upper_right = IMAGE[0, :, :4, 4:]  # patch 1
    expected = torch.from_numpy(dctn(upper_right.numpy(), axes=(1, 2), norm="ortho"))[
        :, :keep, :keep
    ]
    assert torch.allclose(
        target[0, 0, 1].view(keep, keep, 3), expected.permute(1, 2, 0), atol=1e-12
    )


@pytest.mark.parametrize("n", [1, 4, 7, 16])
def test_the_basis_is_orthonormal(n):
    assert torch.allclose(cosines(n) @ cosines(n).T, torch.eye(n, dtype=torch.float64), atol=1e-12)


def test_all_frequencies_squared_are_the_pixel_loss():
    frequency, pixel = Term(Frequency(Geometry.of(4, 4)), "l2"), Term(Pixel(Geometry.of(4, 4)))
    coefficients = torch.randn(
        2, 1, 2, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    pixels = (
        frequency.target.down.T
        @ coefficients.view(2, 1, 2, 4, 4, 3).movedim(-1, -3)
        @ frequency.target.across
    ).movedim(-3, -1)
    expected = pixel(pixels.flatten(-3), IMAGE, SPLIT)
    assert frequency(coefficients, IMAGE, SPLIT).item() == pytest.approx(expected.item(), rel=1e-10)


def test_predictions_can_be_shown_as_pixels():
    pixels = Pixel(Geometry.of(4, 4), normalise=False)(IMAGE, SPLIT)
    loss = Term(Frequency(Geometry.of(4, 4)), "l1")
    assert torch.allclose(
        loss.target.to_pixels(loss.target(IMAGE, SPLIT), IMAGE, SPLIT.masked), pixels, atol=1e-10
    )
    lowest = Term(Frequency(Geometry.of(4, 4), keep=1), "l1")
    shown = lowest.target.to_pixels(lowest.target(IMAGE, SPLIT), IMAGE, SPLIT.masked).unflatten(
        -1, (16, 3)
    )
    assert torch.allclose(
        shown, pixels.unflatten(-1, (16, 3)).mean(-2, keepdim=True).expand_as(shown), atol=1e-10
    )


@pytest.mark.parametrize(("norm", "expected"), [("l1", (1 + 2) / 2), ("l2", (1 + 4) / 2)])
def test_error_is_averaged_over_values_and_masked_patches(norm, expected):
    loss = Term(Frequency(Geometry.of(4, 4), keep=3), norm)
    prediction = loss.target(IMAGE, SPLIT) + torch.tensor([1.0, -2.0]).view(1, 1, 2, 1)
    assert loss(prediction, IMAGE, SPLIT).item() == pytest.approx(expected)


def test_frequencies_that_a_patch_does_not_have_are_refused():
    for keep in (0, 5):
        with pytest.raises(
            ValueError,
            match=f"keep={keep}; a patch of 4 x 4 pixels has 1 to 4 frequencies per axis",
        ):
            Frequency(Geometry.of(4, 4), keep=keep)
