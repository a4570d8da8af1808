"""Weights of Hugging Face's ViTMAEForPreTraining and ours: the published files split query, key and
value.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mim.plain import Settings

# (theirs, ours). Newer releases of transformers have shorter names in memory; all are read, the
# published ones are written.
_PARTS = [
    ("vit.embeddings.cls_token", "encoder.cls_token"),
    ("vit.embeddings.position_embeddings", "encoder.pos_embed"),
    ("vit.embeddings.patch_embeddings.projection.", "encoder.patch_embed.proj."),
    ("vit.encoder.layer.", "encoder.blocks."),
    ("vit.layernorm.", "encoder.norm."),
    ("decoder.mask_token", "decoder.mask_token"),
    ("decoder.decoder_pos_embed", "decoder.pos_embed"),
    ("decoder.decoder_embed.", "decoder.embed."),
    ("decoder.decoder_layers.", "decoder.blocks."),
    ("decoder.decoder_norm.", "decoder.norm."),
    ("decoder.decoder_pred.", "decoder.predict."),
]
_LAYER = [
    ("attention.output.dense.", "attn.proj."),
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
]
_NEWER = [
    ("decoder.decoder_encoder.layer.", "decoder.decoder_layers."),
    ("vit.layers.", "vit.encoder.layer."),
    (".attention.o_proj.", ".attention.output.dense."),
    (".attention.q_proj.", ".attention.attention.query."),
    (".attention.k_proj.", ".attention.attention.key."),
    (".attention.v_proj.", ".attention.attention.value."),
    (".mlp.fc1.", ".intermediate.dense."),
    (".mlp.fc2.", ".output.dense."),
]
_QKV = ("query", "key", "value")


def from_hugging_face(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of ViTMAE (with or without its decoder) -> ours."""
    published = {_as_published(name): value for name, value in tensors.items()}
    ours = {}
    for name, value in published.items():
        match = re.fullmatch(r"(.*)\.attention\.attention\.(query|key|value)\.(weight|bias)", name)
        if match is None:
            ours[_to_ours(name)] = value
        elif match[2] == "query":
            three = [
                published[f"{match[1]}.attention.attention.{part}.{match[3]}"] for part in _QKV
            ]
            ours[_to_ours(f"{match[1]}.") + f"attn.qkv.{match[3]}"] = torch.cat(three)
    return ours


def to_hugging_face(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names of an MAE -> those of the published files."""
    theirs = {}
    for name, value in tensors.items():
        layer, found, kind = name.partition(".attn.qkv.")
        if found:
            for part, third in zip(_QKV, value.chunk(3), strict=True):
                theirs[_to_theirs(f"{layer}.") + f"attention.attention.{part}.{kind}"] = (
                    third.clone()
                )
        else:
            theirs[_to_theirs(name)] = value
    return theirs


def hugging_face_config(
    tensors: Mapping[str, Tensor],
    heads: int,
    decoder_heads: int,
    mask_ratio: float,
    normalise: bool,
) -> Settings:
    """The `config.json` of a ViTMAE with these tensors, under our names."""
    patches = tensors["encoder.pos_embed"].shape[1] - 1
    channels, patch_size, wide = tensors["encoder.patch_embed.proj.weight"].shape[1:]
    side = round(patches**0.5)
    if side * side != patches or patch_size != wide:
        raise ValueError(
            f"Hugging Face's ViTMAE needs square images; these weights are of {patches} patches of "
            f"{patch_size} x {wide} pixels"
        )
    hidden, inner = tensors["encoder.blocks.0.mlp.fc2.weight"].shape
    decoder_hidden, decoder_inner = tensors["decoder.blocks.0.mlp.fc2.weight"].shape
    return {
        "architectures": ["ViTMAEForPreTraining"],
        "model_type": "vit_mae",
        "image_size": side * patch_size,
        "patch_size": patch_size,
        "num_channels": channels,
        "hidden_size": hidden,
        "num_hidden_layers": _blocks(tensors, "encoder."),
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "decoder_hidden_size": decoder_hidden,
        "decoder_num_hidden_layers": _blocks(tensors, "decoder."),
        "decoder_num_attention_heads": decoder_heads,
        "decoder_intermediate_size": decoder_inner,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
        "mask_ratio": mask_ratio,
        "norm_pix_loss": normalise,
    }


def _blocks(tensors: Mapping[str, Tensor], half: str) -> int:
    return sum(
        name.startswith(f"{half}blocks.") and name.endswith(".norm1.weight") for name in tensors
    )


def _as_published(name: str) -> str:
    # a model without a task
    if name.startswith(("embeddings.", "encoder.layer.", "layers.", "layernorm.")):
        name = f"vit.{name}"
    for newer, published in _NEWER:
        name = name.replace(newer, published)
    return name


def _to_ours(name: str) -> str:
    return _renamed(name, _PARTS, _LAYER)


def _to_theirs(name: str) -> str:
    return _renamed(
        name,
        [(ours, theirs) for theirs, ours in _PARTS],
        [(ours, theirs) for theirs, ours in _LAYER],
    )


def _renamed(name: str, parts: list[tuple[str, str]], layer: list[tuple[str, str]]) -> str:
    for old, new in parts:
        if name.startswith(old):
            rest = name.removeprefix(old)
            number, dot, inner = rest.partition(".")
            if number.isdigit():
                for old_inner, new_inner in layer:
                    if inner.startswith(old_inner):
                        return f"{new}{number}{dot}{new_inner}{inner.removeprefix(old_inner)}"
            return new + rest
    return name
