"""Each channel of a patch has mean 0 and deviation 1, and is painted back."""

import torch

from mim.geometry import Geometry
from mim.masker.split import Split
from mim.target.channel_pixel import ChannelPixel
from mim.target.target import Paintable, Target
from mim.tokens import patchify, take

SPLIT = Split(torch.zeros(2, 1, 1, dtype=torch.int64), torch.tensor([0, 3]).expand(2, 1, 2))


def test_each_channel_of_a_patch_is_standardised_by_itself():
    torch.manual_seed(0)
    image = torch.rand(2, 3, 8, 8) * torch.tensor([1.0, 5.0, 50.0])[:, None, None]
    made = ChannelPixel(Geometry.of(8, 4))(image, SPLIT).unflatten(-1, (16, 3))
    assert made.mean(-2).abs().max() < 1e-5
    assert torch.allclose(made.var(-2, correction=0), torch.ones(2, 1, 2, 3), atol=1e-3)


def test_what_keeps_the_deviation_from_0_is_added_to_the_variance():
    image = torch.tensor([0.003, -0.003]).expand(2, 3, 8, 4, 2).flatten(3)
    made = ChannelPixel(Geometry.of(8, 4))(image, SPLIT)
    assert torch.allclose(made.abs(), torch.tensor(0.003 / (0.003**2 + 1e-5) ** 0.5), atol=1e-4)


def test_a_constant_channel_is_zero():
    assert ChannelPixel(Geometry.of(8, 4))(torch.ones(2, 3, 8, 8), SPLIT).abs().max() == 0


def test_it_is_painted_back():
    image, target = torch.rand(2, 3, 8, 8), ChannelPixel(Geometry.of(8, 4))
    assert isinstance(target, Target)
    assert isinstance(target, Paintable)
    painted = target.to_pixels(target(image, SPLIT), image, SPLIT.masked)
    assert torch.allclose(painted, take(patchify(image, 4), SPLIT.masked), atol=1e-5)
