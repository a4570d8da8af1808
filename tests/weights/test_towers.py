"""Files of CLIP, Perception Encoder, SigLIP, AIM, CAPI, BootMAE and CAE, by their own names: read,
or refused with the reason.
"""

import re

import numpy as np
import pytest
import torch

import mim
from mim.encoder.beit import Beit
from mim.encoder.capi import CapiViT
from mim.encoder.timm_vit import TimmViT
from mim.encoder.vit import ViT
from mim.weights.load import load_checkpoint_into, open_encoder
from tests.weights.conftest import varied

SIZES = {"image_size": 32, "patch_size": 8, "width": 128, "depth": 2, "heads": 2}


def timms(name, **changes):
    torch.manual_seed(0)
    return varied(TimmViT(name=name, **SIZES | changes))


def renamed(encoder, *patterns):
    found = {}
    for name, value in encoder.state_dict().items():
        for pattern, new in patterns:
            name = re.sub(pattern, new, name)
        found[name] = value
    return found


def same(a, b):
    image = torch.randn(2, 3, *a.geometry.image_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return torch.allclose(a(image), b(image), atol=1e-5)


def tower(encoder, prefix):
    """Names of OpenAI's CLIP and of Perception Encoder, whose tokens and positions have a dimension
    less.
    """
    names = (
        *(
            (r"^patch_embed\.proj\.", "conv1."),
            (r"^cls_token$", "class_embedding"),
            (r"^norm_pre\.", "ln_pre."),
        ),
        *(
            (r"^pos_embed$", "positional_embedding"),
            (r"^norm\.", "ln_post."),
            (r"^blocks\.", "transformer.resblocks."),
        ),
        *(
            (r"\.norm([12])\.", r".ln_\1."),
            (r"\.gamma_(\d)$", r".ls_\1.gamma"),
            (r"\.qkv\.", ".in_proj_"),
        ),
        *((r"\.attn\.proj\.", ".attn.out_proj."), (r"\.fc1\.", ".c_fc."), (r"\.fc2\.", ".c_proj.")),
    )
    found = renamed(encoder, *names)
    for name in ("class_embedding", "positional_embedding"):
        found[name] = found[name][0, 0] if name == "class_embedding" else found[name][0]
    return {f"{prefix}{name}": value for name, value in found.items()}


TOWERS = [
    "vit_base_patch16_clip_224",
    "vit_pe_core_tiny_patch16_384",
    "vit_pe_lang_large_patch14_448",
]


@pytest.mark.parametrize("prefix", ["visual.", ""])
@pytest.mark.parametrize("name", TOWERS)
def test_a_tower_is_read_under_the_name_that_is_given_and_asks_for_one(tmp_path, name, prefix):
    encoder = timms(name)
    beside = {
        f"{prefix}proj": torch.zeros(128, 4),
        f"{prefix}attn_pool.probe": torch.zeros(1, 1, 128),
    }
    beside |= {"token_embedding.weight": torch.zeros(9, 4)} if prefix else {}
    torch.save(tower(encoder, prefix) | beside, tmp_path / "tower.pt")
    with pytest.raises(
        ValueError,
        match=r"has a norm before its blocks \(CLIP, Perception Encoder\).*encoder\.name=",
    ):
        mim.load(tmp_path / "tower.pt", heads=2)
    assert same(mim.load(tmp_path / "tower.pt", heads=2, name=name), encoder)


def test_siglip_of_openclip_is_read_under_its_name_and_its_activation_is_not_guessed(tmp_path):
    encoder = timms("vit_base_patch16_siglip_224")
    tensors = {f"visual.trunk.{name}": value for name, value in encoder.state_dict().items()}
    beside = {
        "visual.trunk.attn_pool.latent": torch.zeros(1, 1, 128),
        "text.token_embedding.weight": torch.zeros(9, 4),
    }
    torch.save(tensors | beside, tmp_path / "siglip.bin")
    with pytest.raises(
        ValueError,
        match=r"no tensor tells the activation.*encoder\.name=vit_base_patch16_siglip_224",
    ):
        mim.load(tmp_path / "siglip.bin", heads=2)
    assert same(
        mim.load(tmp_path / "siglip.bin", heads=2, name="vit_base_patch16_siglip_224"), encoder
    )


def aim(encoder, *more):
    names = (
        *(
            (r"^patch_embed\.", "preprocessor.patchifier."),
            (r"^pos_embed$", "preprocessor.pos_embed"),
        ),
        *(
            (r"^norm\.", "trunk.post_trunk_norm."),
            (r"^blocks\.", "trunk.blocks."),
            (r"\.norm([12])\.", r".norm_\1."),
        ),
    )
    return renamed(encoder, *names, *more)


def test_aimv2_tells_itself(tmp_path):
    encoder = timms("aimv2_large_patch14_224", width=256)
    torch.save(
        aim(encoder, (r"\.fc1_g\.", ".fc1."), (r"\.fc1_x\.", ".fc3.")), tmp_path / "aimv2.pth"
    )
    read, _ = open_encoder(tmp_path / "aimv2.pth")  # 128 channels a head
    assert same(read, encoder)


def test_the_first_aim_is_refused_for_what_it_has(tmp_path):
    plain = ViT(**SIZES)
    names = (
        (r"^norm\.", "trunk.post_trunk_norm."),
        (r"^blocks\.", "trunk.blocks."),
        (r"\.norm([12])\.", r".norm_\1."),
    )
    tensors = renamed(plain, (r"^patch_embed\.", "preprocessor.patchifier."), *names)
    tensors |= {
        f"preprocessor.patchifier.norm.{kind}": torch.ones(128) for kind in ("weight", "bias")
    }
    torch.save(
        {name: value for name, value in tensors.items() if "qkv.bias" not in name},
        tmp_path / "aim.pth",
    )
    with pytest.raises(ValueError, match=r"has a norm of its patches \(AIM\)"):
        mim.load(tmp_path / "aim.pth", heads=2)


def capi(encoder):
    names = (
        *(
            (r"^patch_embed\.proj\.", "patch_embed."),
            (r"^reg_token$", "registers"),
            (r"^blocks\.", "encoder.blocks."),
        ),
        *(
            (r"\.norm([12])\.", r".residual\1.norm."),
            (r"\.attn\.freqs$", ".residual1.fn.rope.freqs"),
        ),
        *((r"\.attn\.", ".residual1.fn."), (r"\.mlp\.", ".residual2.fn.")),
    )
    found = renamed(encoder, *names)
    for block in range(2):
        at = f"encoder.blocks.{block}.residual1.fn."
        parts = found.pop(f"{at}qkv.weight").chunk(3)
        found |= {
            f"{at}{part}_proj.weight": value for part, value in zip("qkv", parts, strict=True)
        }
    return {f"backbone.{name}": value for name, value in found.items()}


def test_capi_is_read_and_goes_on_in_training(tmp_path):
    torch.manual_seed(0)
    encoder = varied(CapiViT(**SIZES))
    beside = {"backbone.mask_token": torch.zeros(1, 128), "head.layer.weight": torch.zeros(9, 128)}
    beside["backbone.decoder.blocks.0.residual1.norm.weight"] = torch.ones(128)
    torch.save(capi(encoder) | beside, tmp_path / "capi.pth")
    read, line = open_encoder(tmp_path / "capi.pth", image_size=32)
    assert same(read, encoder)
    assert "left over: mask_token, head.layer.weight, decoder.blocks.0.norm1.weight" in line
    assert open_encoder(tmp_path / "capi.pth")[0].geometry.image_size == (224, 224)
    into = CapiViT(**SIZES | {"image_size": 64})
    load_checkpoint_into(tmp_path / "capi.pth", into)
    assert torch.equal(into.reg_token, encoder.reg_token)


def without_key_bias():
    torch.manual_seed(0)
    encoder = ViT(**SIZES, positions="sincos_rows_first")
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name != "pos_embed":
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
            if name.endswith("qkv.bias"):
                parameter[128:256] = 0
    return encoder.eval()


def bootmae(encoder):
    found = {
        name: value for name, value in encoder.state_dict().items() if not name.endswith("qkv.bias")
    }
    for block in range(2):
        query, _, value = encoder.state_dict()[f"blocks.{block}.attn.qkv.bias"].chunk(3)
        found |= {f"blocks.{block}.attn.q_bias": query, f"blocks.{block}.attn.v_bias": value}
    return found


BESIDE = {
    "pre-trained": {
        "decode_blocks.0.norm1.weight": torch.ones(8),
        "down_1.weight": torch.zeros(8, 8),
    },
    "fine-tuned": {"head.weight": torch.zeros(9, 128), "head.bias": torch.zeros(9)},
}


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("key", ["model", "module"])
def test_bootmae_is_a_plain_vit_whose_keys_have_no_bias(tmp_path, beside, key):
    encoder = without_key_bias()
    torch.save({key: bootmae(encoder) | BESIDE[beside]}, tmp_path / "bootmae.pth")
    read, _ = open_encoder(tmp_path / "bootmae.pth", heads=2)
    assert isinstance(read, ViT)
    # tensors, not features: a bias of keys would change no attention
    own = encoder.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in read.state_dict().items())


def test_learned_positions_may_still_be_eva_s(tmp_path):
    tensors = bootmae(without_key_bias())
    torch.save(tensors | {"pos_embed": torch.randn(1, 17, 128)}, tmp_path / "eva.pth")
    with pytest.raises(ValueError, match=r"may have rotary positions \(EVA-02\)"):
        mim.load(tmp_path / "eva.pth", heads=2)


def test_cae_keeps_an_encoder_a_teacher_and_a_neck(tmp_path):
    torch.manual_seed(0)
    encoder = varied(Beit(**SIZES, positions="absolute"))
    tensors = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    teacher = {f"teacher.{name}": value + 1 for name, value in encoder.state_dict().items()}
    neck = {
        "pretext_neck.regressor_blocks.0.norm1_q.weight": torch.ones(8),
        "mask_token": torch.zeros(1, 1, 8),
    }
    torch.save({"model": tensors | teacher | neck}, tmp_path / "cae.pth")
    read, line = open_encoder(tmp_path / "cae.pth", heads=2)
    assert same(read, encoder)
    assert "left over: teacher." in line


def test_weights_of_jax_are_refused_as_such(tmp_path):
    np.savez(tmp_path / "siglip.npz", **{"params/img/embedding/kernel": np.zeros((2, 2, 3, 8))})
    with pytest.raises(ValueError, match=r"holds arrays of NumPy \(\.npz\), as releases of JAX do"):
        mim.load(tmp_path / "siglip.npz")
