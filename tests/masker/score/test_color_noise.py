"""Noise of a colour has its frequencies; masks of the release's windows are the release's."""

import pytest
import torch

from mim.batch import blank
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score import color_noise as module
from mim.masker.score.color_noise import ColorNoise, blurred
from tests.stored import numbered


@pytest.mark.parametrize("number", numbered("colormae"))
def test_the_same_windows_give_the_masks_of_the_release(golden, number):
    """What is highest stays; whatever its windows were divided by."""
    reference = golden("colormae")
    m, window = reference.meta["configs"][number], reference[f"c{number}.window"]
    score = ColorNoise(m["colour"])
    score.drawn = lambda key, grid: window
    split = Masker(score, FixedRatio(m["mask_ratio"]))(
        blank(len(window), (32, 32)), (m["window"],) * 2
    )
    hidden = torch.zeros(reference[f"c{number}.mask"].shape).scatter(1, split.masked[:, 0], 1.0)
    assert torch.equal(hidden, reference[f"c{number}.mask"])
    assert torch.equal(
        split.visible[:, 0].sort().values, reference[f"c{number}.ids_keep"].sort().values
    )


def likeness(colour, apart):
    """Correlation of patches so many columns apart."""
    noise = ColorNoise(colour).drawn(torch.arange(400), (14, 14))
    a, b = noise[..., :-apart].flatten(), noise[..., apart:].flatten()
    return torch.corrcoef(torch.stack([a, b]))[0, 1].item()


def test_neighbours_are_alike_in_red_and_green_noise_and_unlike_in_blue():
    near = {colour: likeness(colour, 1) for colour in ("red", "green", "blue", "purple")}
    assert near["red"] > near["green"] > 0.5
    assert near["blue"] < near["purple"] < 0
    # green noise has a period, red has none
    assert likeness("green", 4) < -0.1 < 0.0 < likeness("red", 3)


def test_a_flat_image_stays_flat_under_a_blur_and_a_point_becomes_a_gaussian():
    assert torch.allclose(blurred(torch.full((1, 11, 12), 3.0), 1.0, 3), torch.full((1, 5, 6), 3.0))
    point = torch.zeros(1, 13, 13)
    point[0, 6, 6] = 1
    seen = blurred(point, 1.0, 4)[0]
    assert (seen[2, 2] / seen[2, 3]).item() == pytest.approx(2.718281828**0.5, rel=1e-4)


def test_images_have_noise_of_their_own_by_their_keys():
    score, key = ColorNoise("purple"), torch.tensor([3, 4])
    first = score.drawn(key, (5, 7))
    assert first.shape == (2, 5, 7)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(score.drawn(key.flip(0), (5, 7)), first.flip(0))


def test_green_noise_of_a_point_is_a_narrow_gaussian_less_one_of_twice_the_width(monkeypatch):
    """As far as three deviations of the wider one."""
    point = torch.zeros(1, 25, 25)  # a grid of 13 x 13 and 6 patches beyond each border
    point[0, 12, 12] = 1
    monkeypatch.setattr(module, "uniform", lambda key, count, stream: point.view(1, -1))
    found = ColorNoise().drawn(torch.zeros(1), (13, 13))[0]
    place = torch.arange(-6.0, 7.0)
    narrow, wide = (torch.exp(-(place**2) / (2 * sigma**2)) for sigma in (1.0, 2.0))
    narrow, wide = narrow / narrow.sum(), wide / wide.sum()
    expected = narrow[:, None] * narrow - wide[:, None] * wide
    assert torch.allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize(("sigma", "coarse"), [(2, 1), (2, 2)])
def test_the_second_blur_has_to_be_the_wider_one(sigma, coarse):
    message = f"sigma={sigma}, coarse_sigma={coarse}; needs 0 < sigma < coarse_sigma"
    with pytest.raises(ValueError, match=message):
        ColorNoise(sigma=sigma, coarse_sigma=coarse)
