"""First layers that are carried to patches of another size, as ViTDet needs that of MAE's ViT-H."""

import pytest
import torch
from torch.nn.functional import interpolate

import mim
from mim.encoder.vit import ViT
from mim.weights.load import load_checkpoint_into
from mim.weights.resize import resize_patches

STEM = "patch_embed.proj.weight"


@pytest.fixture
def file(tmp_path):
    """Weights of a ViT with patches of 14 pixels, on a grid of 4 x 4."""
    torch.save(ViT(56, 14, 16, 1, 2).state_dict(), tmp_path / "p14.pth")
    return tmp_path / "p14.pth"


@pytest.mark.parametrize("side", [16, 28])
def test_pseudo_inverse_filters_give_resized_patches_their_tokens(side):
    """Patches that grow lose nothing, so their tokens stay (FlexiViT, equation 4)."""
    stem, patch = torch.randn(5, 3, 14, 14), torch.randn(2, 3, 14, 14)
    moved, _ = resize_patches(stem, torch.empty(5, 3, side, side), "pseudo_inverse")
    large = interpolate(patch, size=(side, side), mode="bicubic", antialias=True)
    token = torch.einsum("dchw,bchw->bd", moved, large)
    assert torch.allclose(token, torch.einsum("dchw,bchw->bd", stem, patch), atol=1e-3)


def test_bicubic_filters_keep_their_values():
    """A filter of equal values keeps them, so its token grows with the pixels: 256 / 196."""
    flat, noise = torch.ones(1, 3, 14, 14), torch.randn(2, 3, 14, 14)
    moved, said = resize_patches(flat, torch.empty(1, 3, 16, 16), "bicubic")
    assert torch.allclose(moved, torch.ones(1, 3, 16, 16))
    assert said == ["first layer from patches of 14 x 14 to 16 x 16 (bicubic)"]
    moved, _ = resize_patches(noise, torch.empty(2, 3, 16, 16), "bicubic")
    assert torch.equal(moved, interpolate(noise, (16, 16), mode="bicubic"))


@pytest.mark.parametrize("how", ["bicubic", "pseudo_inverse"])
def test_weights_with_patches_of_14_are_loaded_for_16_with_their_positions(file, how):
    encoder = ViT(48, 16, 16, 1, 2)
    said = load_checkpoint_into(file, encoder, patches=how)
    assert f"first layer from patches of 14 x 14 to 16 x 16 ({how})" in said
    assert "positions resized from 4 x 4 to 3 x 3" in said
    stem = torch.load(file)[STEM]
    assert torch.equal(
        encoder.state_dict()[STEM], resize_patches(stem, encoder.patch_embed.proj.weight, how)[0]
    )


def test_patches_of_the_same_size_are_left_alone(file):
    encoder = ViT(56, 14, 16, 1, 2)
    said = load_checkpoint_into(file, encoder, patches="bicubic")
    assert "first layer" not in said
    assert torch.equal(encoder.state_dict()[STEM], torch.load(file)[STEM])


def test_other_patches_are_refused_unless_it_is_said_how_they_are_resized(file):
    with pytest.raises(ValueError, match=r"patches of 14 x 14 pixels.*checkpoint_patches=bicubic"):
        load_checkpoint_into(file, ViT(48, 16, 16, 1, 2))


def test_a_way_to_resize_needs_a_checkpoint_and_a_known_name(tmp_path):
    given = ("data=digits", f"paths.run={tmp_path}")
    with pytest.raises(ValueError, match=r"checkpoint_patches=bicubic .* give checkpoint=<file>"):
        mim.train(mim.compose(*given, "checkpoint_patches=bicubic"))
    with pytest.raises(ValueError, match=r"checkpoint_patches=.?nearest.*bicubic"):
        mim.compose(*given, "checkpoint_patches=nearest")
