"""Weights of three channels on images of other numbers of channels: timm's rule for the first
layer.
"""

import pytest
import timm
import torch

from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.weights.into_model import load_weights_into
from mim.weights.load import load_checkpoint_into, open_encoder
from mim.weights.read import read_weights
from mim.weights.resize import carry_channels

STEM = "patch_embed.proj.weight"


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 13])
def test_the_first_layer_is_that_of_timm_with_in_chans(tmp_path, channels):
    """timm itself, loading its own file into a model of other channels."""
    sizes = {
        "img_size": 16,
        "patch_size": 4,
        "embed_dim": 16,
        "depth": 1,
        "num_heads": 2,
        "num_classes": 0,
    }
    three = timm.create_model("vit_base_patch16_224", **sizes)
    file = tmp_path / "timm.pth"
    torch.save(three.state_dict(), file)
    overlay = {"file": str(file), "num_classes": 0, "first_conv": "patch_embed.proj"}
    theirs = timm.create_model(
        "vit_base_patch16_224",
        pretrained=True,
        pretrained_cfg_overlay=overlay,
        in_chans=channels,
        **sizes,
    )
    ours = ViT(16, 4, 16, 1, 2, channels=channels)
    said = load_checkpoint_into(file, ours)
    assert torch.equal(ours.patch_embed.proj.weight, theirs.patch_embed.proj.weight)
    how = "summed" if channels == 1 else f"repeated, times 3/{channels}"
    assert f"first layer from 3 channels to {channels} ({how})" in said


def test_grey_pictures_give_the_tokens_of_grey_colours():
    torch.manual_seed(0)
    three, one = ViT(16, 4, 16, 2, 2).eval(), ViT(16, 4, 16, 2, 2, channels=1).eval()
    weights = dict(three.state_dict())
    weights[STEM], _ = carry_channels(weights[STEM], 1)
    one.load_state_dict(weights)
    grey = torch.rand(2, 1, 16, 16)
    assert torch.allclose(one(grey), three(grey.expand(-1, 3, -1, -1)), atol=1e-5)


@pytest.mark.parametrize("encoder", ["vit", "beit", "swin"])
def test_every_family_is_carried_and_the_same_number_is_left_alone(encoder, build_mae, save_run):
    builds = {
        "vit": lambda channels: ViT(16, 4, 16, 1, 2, channels=channels),
        "beit": lambda channels: Beit(16, 4, 16, 1, 2, channels=channels),
        "swin": lambda channels: Swin(16, 4, 8, [1, 1], [2, 2], 4, channels=channels),
    }
    three = builds[encoder](3)
    stem, said = carry_channels(three.state_dict()[STEM], 3)
    assert said == []
    assert stem is not None
    five = builds[encoder](5)
    carried, _ = carry_channels(three.state_dict()[STEM], five.geometry.channels)
    assert carried.shape == five.patch_embed.proj.weight.shape


def test_a_run_of_three_channels_opens_with_five_and_its_decoder_stays_new(build_mae, save_run):
    folder = save_run(build_mae())
    encoder, said = open_encoder(folder, channels=5)
    assert encoder.geometry.channels == 5
    assert "first layer from 3 channels to 5" in said
    said = load_weights_into(read_weights(folder), build_mae(channels=5))
    assert "first layer from 3 channels to 5" in said
    assert "decoder not loaded (decoder.predict.weight is (48, 8) there and (80, 8) here)" in said


def test_other_numbers_than_three_are_not_carried(build_mae, save_run):
    folder = save_run(build_mae(channels=5))
    with pytest.raises(
        ValueError,
        match="embeds images of 5 channels and the encoder those of 3; only three are carried to "
        "another",
    ):
        load_checkpoint_into(folder, build_mae())
