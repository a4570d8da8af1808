"""Weights of timm's transformers, by their name and by their tensors, into the encoder that they
are of.
"""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file

import mim
from mim.encoder.timm_vit import TimmViT
from mim.encoder.vit import ViT
from mim.weights.architecture import TIMM_VIT
from mim.weights.convert import write
from mim.weights.load import load_checkpoint_into, open_encoder
from mim.weights.read import read_weights
from mim.weights.resize import resize_encoder

V2, V3 = "vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"
SMALL = {"embed_dim": 192, "depth": 2, "num_heads": 3}
CREATE = timm.create_model
BY_TENSORS = {
    "vit_small_patch14_dinov2": "vit_small_patch14_dinov2",
    V2: V2,
    "vit_giant_patch14_reg4_dinov2": "vit_giant_patch14_reg4_dinov2",
    V3: V3,
    "vit_base_patch16_dinov3_qkvb": "vit_small_patch16_dinov3_qkvb",
    "vit_small_plus_patch16_dinov3": "vit_small_plus_patch16_dinov3",
    "deit3_small_patch16_224": "deit3_small_patch16_224",
    "deit_tiny_distilled_patch16_224": "deit_tiny_distilled_patch16_224",
    "vit_huge_patch14_gap_224": "vit_huge_patch14_gap_224",
    "aimv2_large_patch14_224": "aimv2_large_patch14_224",
}
"""Of timm -> what its tensors are told by."""
BY_NAME = (
    "eva02_tiny_patch14_224",
    "vit_pe_core_tiny_patch16_384",
    "vit_base_patch16_siglip_224",
)
UNTOLD = {
    "vit_pe_core_tiny_patch16_384": r"a norm before its blocks .*encoder\.name=",
    "vit_base_patch16_clip_224": r"a norm before its blocks .*encoder\.name=",
    "eva02_tiny_patch14_224": r"may have rotary positions .*encoder\.name=",
    "vit_base_patch16_rope_mixed_224": "rotary positions",
    "vit_base_patch16_xp_224": "a norm before its blocks|normalised queries|parallel",
}


def small(name):
    torch.manual_seed(0)
    patch = 14 if "patch14" in name else 16
    model = CREATE(name, num_classes=0, img_size=4 * patch, **SMALL).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model, torch.randn(2, 3, 4 * patch, 4 * patch)


@pytest.mark.parametrize("name", [*BY_TENSORS, *BY_NAME])
@torch.no_grad()
def test_a_model_of_timm_is_opened_by_its_name(name, monkeypatch, distance):
    model, image = small(name)
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: model)
    encoder = mim.load(f"timm:{name}.some_weights")
    assert encoder.name == name
    assert distance(encoder(image), model.forward_features(image)) < 1e-5
    assert encoder.geometry.image_size == tuple(image.shape[2:])
    assert f"{encoder.prefix} prefix token" in encoder.describe()


@pytest.mark.parametrize(("name", "told"), BY_TENSORS.items())
@torch.no_grad()
def test_a_file_is_told_by_its_tensors(name, told, tmp_path, distance):
    model, image = small(name)
    torch.save(
        {"teacher": {f"backbone.{key}": value for key, value in model.state_dict().items()}},
        tmp_path / "x.pth",
    )
    encoder, line = open_encoder(tmp_path / "x.pth", image.shape[-1])
    assert encoder.name == told
    assert "tensors" in line
    assert distance(encoder(image), model.forward_features(image)) < 1e-5


@pytest.mark.parametrize(("name", "said"), UNTOLD.items())
def test_a_file_that_could_be_of_several_is_refused_until_its_name_is_said(
    name, said, tmp_path, distance
):
    model, image = small(name)
    torch.save(model.state_dict(), tmp_path / "x.pth")
    with pytest.raises(ValueError, match=said) as refusal:
        open_encoder(tmp_path / "x.pth")
    assert "\n" not in str(refusal.value)
    encoder = TimmViT(name, image.shape[-1], width=192, depth=2, heads=3)
    assert f"encoder {len(encoder.state_dict())} of" in load_checkpoint_into(
        tmp_path / "x.pth", encoder
    )
    with torch.no_grad():
        assert distance(encoder.eval()(image), model.forward_features(image)) < 1e-5


@pytest.mark.parametrize("name", ["hiera_tiny_224", "vit_base_r50_s16_224", "resnet18"])
def test_what_is_no_transformer_over_patches_is_refused_by_name(name, monkeypatch):
    model = CREATE(name, num_classes=0)
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: model)
    with pytest.raises(ValueError, match=f"timm's {name} has "):
        read_weights(f"timm:{name}")


def test_weights_of_another_network_leave_an_encoder_as_it_was(tmp_path):
    torch.save(small(V3)[0].state_dict(), tmp_path / "x.pth")
    encoder = ViT(64, 16, 192, 2, 3)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit ViT"):
        load_checkpoint_into(tmp_path / "x.pth", encoder)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_a_run_says_its_encoder_and_no_more_memory_is_taken_than_its_tensors_have(tmp_path):
    encoder = TimmViT(V3, 64, width=192, depth=2, heads=3)
    tensors = {f"model.encoder.{name}": value for name, value in encoder.state_dict().items()}
    settings = {
        "_target_": TIMM_VIT,
        "name": V3,
        "image_size": 64,
        "width": 192,
        "depth": 2,
        "heads": 3,
        "registers": None,
    }
    torch.save({"state_dict": tensors, "config": {"encoder": settings}}, tmp_path / "own.ckpt")
    assert open_encoder(tmp_path / "own.ckpt", 96)[0].geometry.grid == (6, 6)
    for lie in (
        {"name": "vit_7b_patch16_dinov3"},
        {"mlp_ratio": 60.0},
        {"registers": 4096},
        {"name": "hf-hub:a/b"},
    ):
        torch.save(
            {"state_dict": tensors, "config": {"encoder": settings | lie}}, tmp_path / "lie.ckpt"
        )
        with pytest.raises(ValueError, match=r"lie\.ckpt|is no ViT of timm"):
            open_encoder(tmp_path / "lie.ckpt")


@pytest.mark.parametrize(
    "name", [V2, V3, "deit_tiny_distilled_patch16_224", "vit_huge_patch14_gap_224", *BY_NAME]
)
@torch.no_grad()
def test_timm_loads_what_is_written_for_it_and_others_are_refused(
    name, tmp_path, monkeypatch, distance
):
    model, image = small(name)
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: model)
    weights = read_weights(f"timm:{name}")
    monkeypatch.undo()
    call = write(weights, tmp_path / "x.safetensors", "timm").rpartition("encoder = ")[2]
    again = eval(call, {"timm": timm}).eval()
    assert distance(again.forward_features(image), model.forward_features(image)) < 1e-6
    write(weights, tmp_path / "x.pth", "timm")
    write(weights, tmp_path / "ours.safetensors", "safetensors")
    for file in ("x.safetensors", "x.pth", "ours.safetensors"):  # which say what tensors do not
        encoder, _ = open_encoder(tmp_path / file)
        tokens = encoder.encode(encoder.embed(image))
        assert distance(tokens, model.forward_features(image)) < 1e-5
    for to in ("mae", "hf"):
        with pytest.raises(ValueError, match=r"is no plain ViT.*, and .*--to timm writes all oth"):
            write(weights, tmp_path / to, to)


def test_a_folder_of_timm_may_hold_weights_of_another_image_size(tmp_path):
    """Its config names the model; its positions say the size."""
    model = timm.create_model(V2, img_size=28, depth=1, num_classes=0)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": V2}))
    encoder, _ = open_encoder(tmp_path)
    assert encoder.geometry.image_size == (28, 28)
    said = write(read_weights(tmp_path), tmp_path / "x.safetensors", "timm")
    again = eval(said.rpartition("encoder = ")[2], {"timm": timm})
    assert torch.equal(again.pos_embed, model.pos_embed)


def test_positions_are_carried_by_the_rule_of_the_family(distance):
    """timm's by timm; DINOv2's as its release does, by a factor that is a tenth of a patch too
    large.
    """
    for name, antialias in ((V2, True), ("vit_small_patch14_dinov2", False)):
        model, _ = small(name)
        encoder = TimmViT(name, 84, width=192, depth=2, heads=3)
        moved, said = resize_encoder(model.state_dict(), encoder.state_dict(), encoder)
        assert said == ["positions resized from 4 x 4 to 6 x 6"]
        prefix = encoder.positions_of_prefix
        old = model.pos_embed[:, prefix:].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
        how = (
            {"size": (6, 6), "antialias": True}
            if antialias
            else {"scale_factor": (6.1 / 4, 6.1 / 4)}
        )
        new = torch.nn.functional.interpolate(old, mode="bicubic", **how).flatten(2).transpose(1, 2)
        assert distance(moved["pos_embed"][:, prefix:], new) < 1e-6
        assert torch.equal(moved["pos_embed"][:, :prefix], model.pos_embed[:, :prefix])
