"""Models of transformers, saved with random weights: they give the same features here, or are
refused in words.
"""

import json

import pytest
import torch
import transformers

import mim
from mim.weights.read import read_weights

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "image_size": 64,
    "patch_size": 16,
}
WORKS = {
    "vit": ("ViT", {}),
    "vit, epsilon 1e-6": ("ViT", {"layer_norm_eps": 1e-6}),
    "vit_msn": ("ViTMSN", {}),
    "deit": ("DeiT", {"layer_norm_eps": 1e-6}),
    "ijepa": ("IJepa", {"layer_norm_eps": 1e-6}),
    "dinov2": ("Dinov2", {}),
    "dinov2, SwiGLU": ("Dinov2", {"use_swiglu_ffn": True}),
    "dinov2_with_registers": ("Dinov2WithRegisters", {}),
    "dinov3_vit": ("DINOv3ViT", {"num_register_tokens": 4}),
    "dinov3_vit, no registers": ("DINOv3ViT", {"num_register_tokens": 0}),
    "dinov3_vit, gated": (
        "DINOv3ViT",
        {"num_register_tokens": 4, "use_gated_mlp": True, "hidden_act": "silu"},
    ),
    "pixio": ("Pixio", {}),
    "siglip_vision_model": ("SiglipVision", {}),
    "siglip_vision_model, gelu": ("SiglipVision", {"hidden_act": "gelu"}),
    "clip_vision_model": ("CLIPVision", {}),
    "clip_vision_model, gelu": ("CLIPVision", {"hidden_act": "gelu"}),
    "metaclip_2_vision_model": ("MetaClip2Vision", {}),
}
REFUSED = {
    "beit": ("Beit", {}),
    "data2vec-vision": ("Data2VecVision", {}),
    "siglip2_vision_model": ("Siglip2Vision", {}),
    "aimv2_vision_model": ("Aimv2Vision", {}),
    "altclip_vision_model": ("AltCLIPVision", {}),
    "blip_vision_model": ("BlipVision", {}),
    "internvl_vision": ("InternVLVision", {}),
}


def saved(folder, name, settings):
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(
        getattr(transformers, f"{name}Config")(**SIZES | settings)
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    return model, torch.randn(2, 3, 64, 64)


@pytest.mark.parametrize("case", WORKS)
@torch.no_grad()
def test_features_are_those_of_transformers(case, tmp_path, distance):
    model, image = saved(tmp_path, *WORKS[case])
    encoder = mim.load(f"hf:{tmp_path}", 64)
    theirs = model(image).last_hidden_state
    ours = encoder.encode_blocks(encoder.embed(image), [2])[0] if "clip" in case else encoder(image)
    assert distance(ours, theirs) < 1e-5
    assert encoder.heads == 4


@pytest.mark.parametrize("kind", REFUSED)
def test_a_family_that_is_not_read_is_refused_by_name(kind, tmp_path):
    saved(tmp_path, *REFUSED[kind])
    with pytest.raises(
        ValueError, match=f"says model_type={kind}, which is not read; clip, "
    ) as refusal:
        read_weights(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "setting",
    [
        {"hidden_act": "relu"},
        {"layer_norm_eps": 1e-3},
        {"num_channels": 4},
        {"rope_theta": 10.0},
        {"key_bias": True},
    ],
)
def test_a_setting_that_timm_has_not_is_refused_by_name(setting, tmp_path):
    saved(tmp_path, "DINOv3ViT", {"num_register_tokens": 4})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | setting))
    (key,) = setting
    with pytest.raises(ValueError, match=rf"config\.json says {key}="):
        read_weights(tmp_path)


def test_half_a_model_is_refused_in_one_line(tmp_path):
    from safetensors.torch import load_file, save_file

    saved(tmp_path, "Dinov2", {})
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(
        {name: value for name, value in tensors.items() if "key.weight" not in name},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(ValueError, match="holds no whole dinov2: ") as refusal:
        read_weights(tmp_path)
    assert "\n" not in str(refusal.value)


def dual():
    texts = SIZES | {"vocab_size": 99}
    return transformers.CLIPModel(
        transformers.CLIPConfig(vision_config=SIZES, text_config=texts, projection_dim=8)
    )


def projected():
    return transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**SIZES, projection_dim=8)
    )


@pytest.mark.parametrize("build", [dual, projected])
def test_of_a_model_that_knows_texts_the_image_half_is_read(build, tmp_path, distance):
    model = build().eval()
    model.save_pretrained(tmp_path)
    image = torch.randn(2, 3, 64, 64)
    encoder = mim.load(tmp_path)
    with torch.no_grad():
        theirs = model.vision_model(image).last_hidden_state
        assert distance(encoder.encode_blocks(encoder.embed(image), [2])[0], theirs) < 1e-5


def test_a_folder_of_timm_says_its_architecture(tmp_path, distance):
    import timm
    from safetensors.torch import save_file

    sizes = {"embed_dim": 48, "depth": 2, "num_heads": 4, "img_size": 56, "num_classes": 0}
    model = timm.create_model("eva02_tiny_patch14_224", **sizes).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "eva02_tiny_patch14_224"}))
    encoder = mim.load(tmp_path, 56, heads=4)
    image = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        assert distance(encoder(image), model.forward_features(image)) < 1e-5
