"""Files of the methods' own releases, by their names and shapes: each is read into an encoder that
computes the same.
"""

import re

import pytest
import torch
from omegaconf import OmegaConf

import mim
from mim.command.evaluate import _said_of_encoders
from mim.encoder.beit import Beit
from mim.encoder.timm_vit import TimmViT
from mim.encoder.vit import ViT
from mim.weights.load import open_encoder
from tests.weights.conftest import varied

SIZES = {"image_size": 32, "patch_size": 8, "width": 128, "depth": 2, "heads": 2}


def timms(name, **changes):
    torch.manual_seed(0)
    return varied(TimmViT(name=name, **SIZES | changes))


def vit(**changes):
    torch.manual_seed(0)
    return varied(ViT(**SIZES | changes))


def renamed(encoder, *patterns):
    found = {}
    for name, value in encoder.state_dict().items():
        for pattern, new in patterns:
            name = re.sub(pattern, new, name)
        found[name] = value
    return found


@pytest.fixture
def opened(tmp_path):
    """What is read of a file with some content, for 2 heads, and the line about it."""

    def open_it(content, **settings):
        torch.save(content, tmp_path / "release.pth")
        encoder, line = open_encoder(tmp_path / "release.pth", heads=2, **settings)
        return encoder.eval(), line

    return open_it


def same(a, b):
    image = torch.randn(2, 3, *a.geometry.image_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return torch.allclose(a(image), b(image), atol=1e-5)


def dinov2(encoder):
    """Names of facebookresearch/dinov2: with registers the cls token's position stands with those
    of the patches.
    """
    tensors = renamed(
        encoder, (r"^reg_token$", "register_tokens"), (r"\.fc1\.", ".w12."), (r"\.fc2\.", ".w3.")
    )
    if "giant" not in encoder.name:
        tensors = {
            name.replace(".w12.", ".fc1.").replace(".w3.", ".fc2."): value
            for name, value in tensors.items()
        }
    if "register_tokens" in tensors:
        first = torch.randn(1, 1, 128, generator=torch.Generator().manual_seed(2))
        tensors["pos_embed"] = torch.cat([first, tensors["pos_embed"]], 1)
        tensors["cls_token"] = tensors["cls_token"] - first
    return tensors | {"mask_token": torch.zeros(1, 128)}


@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize(
    "name", ["small_patch14_dinov2", "small_patch14_reg4_dinov2", "giant_patch14_reg4_dinov2"]
)
def test_dinov2_with_and_without_registers(opened, name, chunks):
    encoder = timms(f"vit_{name}")
    tensors = dinov2(encoder)
    if chunks:
        tensors = {
            re.sub(r"^blocks\.(\d+)\.", r"blocks.\1.\1.", key): value
            for key, value in tensors.items()
        }
    read, line = opened(tensors)
    assert same(read, encoder)
    assert "left over: mask_token" in line


def dinov3(encoder):
    """Names of facebookresearch/dinov3: one bias for queries, keys and values, and a mask that
    takes the keys' away.
    """
    gates = ((r"fc1_g", "w1"), (r"fc1_x", "w2"), (r"fc2", "w3")) if "plus" in encoder.name else ()
    found = renamed(
        encoder, (r"^reg_token$", "storage_tokens"), (r"\.gamma_(\d)$", r".ls\1.gamma"), *gates
    )
    tensors = {
        name: value
        for name, value in found.items()
        if not name.endswith(("q_bias", "v_bias", "k_bias"))
    }
    for block in range(2):
        at = f"blocks.{block}.attn."
        parts = [found.get(f"{at}{part}_bias", torch.zeros(128)) for part in "qv"]
        keys = torch.full((128,), 7.0)  # masked, whatever it is
        tensors[f"{at}qkv.bias"] = torch.cat([parts[0], keys, parts[1]])
        tensors[f"{at}qkv.bias_mask"] = torch.tensor([1.0, 0, 1]).repeat_interleave(128)
    return tensors | {"mask_token": torch.zeros(1, 128), "rope_embed.periods": torch.ones(16)}


@pytest.mark.parametrize(
    "name", ["small_patch16_dinov3", "small_patch16_dinov3_qkvb", "small_plus_patch16_dinov3"]
)
def test_dinov3_with_and_without_biases_and_gates(opened, name):
    encoder = timms(f"vit_{name}")
    read, line = opened(dinov3(encoder), image_size=32)
    assert (read.prefix, same(read, encoder)) == (5, True)
    assert "left over: mask_token" in line


def test_pixio_has_eight_cls_tokens(opened):
    encoder = timms("vit_base_patch16_224", registers=7)
    tensors = renamed(encoder)
    tensors["cls_token"] = torch.cat([tensors["cls_token"], tensors.pop("reg_token")], 1)
    decoder = {
        "decoder_embed.weight": torch.zeros(8, 128),
        "decoder_pos_embed": torch.zeros(1, 24, 8),
    }
    read, _ = opened({"model": tensors | decoder | {"mask_token": torch.zeros(1, 1, 8)}})
    assert (read.prefix, same(read, encoder)) == (8, True)


def test_crossmae_ends_without_a_norm_and_gets_a_new_one(opened):
    encoder = vit()
    encoder.norm.load_state_dict({"weight": torch.ones(128), "bias": torch.zeros(128)})
    tensors = {
        name: value for name, value in encoder.state_dict().items() if not name.startswith("norm.")
    }
    decoder = {
        "wfm.linear.weight": torch.zeros(2, 3),
        "mask_token": torch.zeros(1, 1, 8),
        "decoder_pos_embed": torch.zeros(1, 17, 8),
        **{f"dec_norms.{i}.weight": torch.ones(128) for i in range(2)},
        "decoder_blocks.0.cross_attn.kv.weight": torch.zeros(16, 128),
        "decoder_norm.weight": torch.ones(8),
        "decoder_pred.weight": torch.zeros(192, 8),
    }
    read, line = opened({"model": tensors | decoder})
    assert same(read, encoder)
    assert "official CrossMAE, with a new final norm" in line


BESIDE = {
    "iBOT's mask token": {"masked_embed": torch.zeros(1, 128)},
    "MSN's head": {"fc.fc1.weight": torch.zeros(4, 128), "fc.bn1.running_mean": torch.zeros(4)},
    "a mask token": {"mask_token": torch.zeros(1, 1, 128)},
}


@pytest.mark.parametrize("beside", BESIDE)
def test_what_was_trained_beside_an_encoder_is_left_over(opened, beside):
    encoder = vit()
    read, line = opened(encoder.state_dict() | BESIDE[beside])
    assert same(read, encoder)
    assert f"left over: {next(iter(BESIDE[beside]))}" in line


def test_beit_and_data2vec_keep_a_mask_token_and_a_head(opened):
    torch.manual_seed(0)
    encoder = varied(Beit(**SIZES, positions="shared_bias"))
    head = {
        "mask_token": torch.zeros(1, 1, 128),
        "lm_head.weight": torch.zeros(9, 128),
        "lm_head.bias": torch.zeros(9),
    }
    index = {"rel_pos_bias.relative_position_index": torch.zeros(17, 17, dtype=torch.int64)}
    read, line = opened({"model": encoder.state_dict() | head | index})
    assert same(read, encoder)
    assert "left over: mask_token, lm_head.weight, lm_head.bias" in line


def test_cae_keeps_fixed_positions_a_second_encoder_and_what_regresses(opened):
    """Read as what is learned from there on: the same numbers."""
    torch.manual_seed(0)
    encoder = varied(Beit(**SIZES, positions="sincos_rows_first", start="cae"))
    both = {
        f"{name}.{key}": v
        for name in ("encoder", "teacher")
        for key, v in encoder.state_dict().items()
    }
    rest = {"mask_token": torch.zeros(1, 1, 128), "pretext_neck.norm.weight": torch.zeros(128)}
    read, line = opened(
        {"model": {k: v + 1 if k.startswith("teacher") else v for k, v in both.items()} | rest}
    )
    assert same(read, encoder)
    assert "left over: " in line


def test_msn_and_ijepa_keep_an_average_as_their_target_encoder(opened):
    average, other = vit(), vit(start="simmim")
    both = {"encoder": other.state_dict(), "target_encoder": average.state_dict()}
    content = {
        key: {f"module.{name}": value for name, value in tensors.items()}
        for key, tensors in both.items()
    }
    read, line = opened(content)
    assert same(read, average)
    assert "under target_encoder, not encoder" in line


def test_mmpretrain_has_other_names(opened):
    encoder = vit()
    names = (
        *(
            (r"^patch_embed\.proj\.", "patch_embed.projection."),
            (r"\.norm([12])\.", r".ln\1."),
            (r"^norm\.", "ln1."),
        ),
        *(
            (r"^blocks\.", "layers."),
            (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
            (r"\.mlp\.fc2\.", ".ffn.layers.1."),
        ),
    )
    tensors = {f"backbone.{name}": value for name, value in renamed(encoder, *names).items()}
    second = {f"target_{name}": value + 1 for name, value in tensors.items()}
    read, line = opened({"state_dict": tensors | second})
    assert same(read, encoder)
    assert "(MMPretrain)" in line


NAMED = "eva02_tiny_patch14_224"


def test_a_bare_file_that_does_not_tell_is_read_under_the_name_that_is_given(tmp_path):
    encoder = timms(NAMED)
    torch.save(encoder.state_dict(), tmp_path / "release.pth")
    with pytest.raises(ValueError, match=r"may have rotary positions \(EVA-02\)"):
        mim.load(tmp_path / "release.pth", heads=2)
    read = mim.load(tmp_path / "release.pth", heads=2, name=NAMED, mean=[0.5] * 3, std=[0.5] * 3)
    assert read.geometry.image_size == (32, 32)
    assert same(read, encoder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vit_base_patch16_224", "is no transformer of timm that has to be named"),
        ("no_such_model", "is no transformer of timm that has to be named"),
        ("resnet18", "has another kind of network"),
    ],
)
def test_a_name_that_needs_no_saying_or_is_none_is_refused(tmp_path, name, said):
    torch.save(vit().state_dict(), tmp_path / "plain.pth")
    with pytest.raises(ValueError, match=f"{name} {said}"):
        mim.load(tmp_path / "plain.pth", heads=2, name=name)


def test_an_evaluation_takes_the_name():
    cfg = OmegaConf.create({"encoder": {"_target_": None, "heads": 2, "name": NAMED}})
    assert _said_of_encoders(cfg) == (None, 2, NAMED)
    with pytest.raises(ValueError, match=r"encoder\.name=3 does not fit"):
        _said_of_encoders(OmegaConf.create({"encoder": {"_target_": None, "heads": 2, "name": 3}}))
