"""Colours of views: what torchvision and Pillow do with the numbers that belong to a key."""

import pytest
import torch
from PIL import ImageFilter, ImageOps
from torchvision.transforms.v2 import ColorJitter
from torchvision.transforms.v2 import functional as F

from mim.augment.colours import Colours
from mim.draw import COLOUR, keys, uniform

STRENGTHS = (0.4, 0.4, 0.2, 0.1)
SHARES = {"jittered": 0.0, "grey": 0.0, "blur": 0.0, "solarize": 0.0}
KEYS = keys(0, 0, torch.arange(200)).tolist()


@pytest.fixture
def image():
    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 255
    return torch.nn.functional.interpolate(coarse, (24, 20), mode="bilinear")[0].byte()


def only(**shares) -> Colours:
    return Colours(STRENGTHS, **{**SHARES, **shares})


def draws(key):
    return uniform(torch.tensor([key]), 13, COLOUR)[0].tolist()


@pytest.mark.parametrize("key", KEYS[:5])
def test_jitter_is_that_of_torchvision(image, key, monkeypatch):
    u = draws(key)
    low = torch.tensor([0.6, 0.6, 0.8, -0.1]).double()
    factors = (low + torch.tensor(u[5:9]).double() * torch.tensor([0.8, 0.8, 0.4, 0.2])).tolist()
    order = torch.tensor(u[1:5]).argsort()
    names = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")
    theirs = ColorJitter(*STRENGTHS)
    given = {"fn_idx": order, **dict(zip(names, factors, strict=True))}
    monkeypatch.setattr(theirs, "make_params", lambda _: given)
    expected = F.pil_to_tensor(theirs(F.to_pil_image(image)))
    assert only(jittered=1.0)(image, key).equal(expected)
    assert not expected.equal(image)


def test_blur_and_solarization_are_those_of_pillow(image):
    for key in KEYS[:5]:
        picture = F.to_pil_image(image)
        blurred = picture.filter(ImageFilter.GaussianBlur(0.1 + 1.9 * draws(key)[11]))
        assert only(blur=1.0)(image, key).equal(F.pil_to_tensor(blurred))
        assert only(solarize=1.0)(image, key).equal(
            F.pil_to_tensor(ImageOps.solarize(picture, 128))
        )
        grey = only(grey=1.0)(image, key)
        assert grey.equal(F.pil_to_tensor(picture.convert("L")).expand(3, -1, -1))


@pytest.mark.parametrize("name", SHARES)
def test_as_many_views_change_as_asked_and_each_change_is_drawn_by_itself(image, name):
    changed = torch.tensor([not only(**{name: 0.4})(image, key).equal(image) for key in KEYS])
    assert changed.float().mean().item() == pytest.approx(0.4, abs=0.1)
    if name != "blur":
        blurred = torch.tensor([not only(blur=0.4)(image, key).equal(image) for key in KEYS])
        assert (changed & blurred).float().mean().item() == pytest.approx(0.16, abs=0.08)
    if name != "grey":
        others = torch.tensor([not only(grey=0.4)(image, key).equal(image) for key in KEYS])
        assert (changed & others).float().mean().item() == pytest.approx(0.16, abs=0.08)


def test_colours_belong_to_the_key_and_leave_size_and_type_alone(image):
    colours = Colours(STRENGTHS, jittered=0.8, grey=0.2, blur=0.5, solarize=0.2)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = [colours(image, key) for key in KEYS[:20]]
    assert torch.get_rng_state().equal(before)
    assert all(colours(image, key).equal(view) for key, view in zip(KEYS, first, strict=False))
    assert {(view.shape, view.dtype) for view in first} == {(image.shape, torch.uint8)}
    assert len({view.float().sum().item() for view in first}) > 15


def test_an_image_of_one_channel_keeps_it(image):
    colours = Colours(STRENGTHS, jittered=1.0, grey=1.0, blur=1.0, solarize=0.5)
    assert all(colours(image[:1], key).shape == (1, 24, 20) for key in KEYS[:10])


def test_whether_anything_changes_is_known():
    assert not only()
    assert str(only()) == "as they are"
    assert not Colours((0, 0, 0, 0), **{**SHARES, "jittered": 1.0})
    assert all(only(**{name: 0.1}) for name in SHARES)
    assert str(only(jittered=0.8, blur=0.5)) == "80% jitter 0.4 0.4 0.2 0.1, 50% blurred"


def test_what_is_no_colour_is_refused(image):
    with pytest.raises(
        ValueError, match=r"jitter=\[0.4, 0.4, 0.2, 0.6\]; needs strengths .* hue \(0 to 0.5\)"
    ):
        Colours((0.4, 0.4, 0.2, 0.6), **SHARES)
    with pytest.raises(ValueError, match="jitter="):
        Colours((0.4, 0.4), **SHARES)
    with pytest.raises(ValueError, match=r"blur=1.5; needs a share of views from 0 to 1"):
        only(blur=1.5)
    with pytest.raises(ValueError, match="images of 5 channels"):
        only(grey=1.0)(image[:1].expand(5, -1, -1), 0)
