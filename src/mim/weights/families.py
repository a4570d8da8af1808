"""Vision transformers of Hugging Face that timm has too: their `config.json` says which, their
tensors get timm's names.

Sources:
transformers/models/{dinov2,dinov2_with_registers,dinov3_vit,ijepa,siglip,clip,deit,pixio}/modeling_*.py.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mim.encoder.timm_model import input_side
from mim.plain import Settings, printable
from mim.weights.architecture import TIMM_VIT, depth_of
from mim.weights.releases import renamed, several_cls, with_positions

Tensors = dict[str, Tensor]
_NAMES = (  # a pattern, and what it becomes; all are tried, in this order
    (r"^(deit|dinov2|dinov2_with_registers|ijepa|model|vision_model|pixio)\.", ""),
    (r"^embeddings\.(cls_token|class_embedding)$", "cls_token"),
    (r"^embeddings\.distillation_token$", "dist_token"),
    (r"^embeddings\.register_tokens$", "reg_token"),
    (r"^embeddings\.(position_embeddings|position_embedding\.weight)$", "pos_embed"),
    (
        r"^embeddings\.(patch_embeddings\.projection|patch_embeddings|patch_embedding)\.",
        "patch_embed.proj.",
    ),
    (r"^pre_layrnorm\.", "norm_pre."),
    (r"^(layernorm|post_layernorm)\.", "norm."),
    (r"^(encoder\.layers?|layers?)\.(\d+)\.", r"blocks.\2."),
    (r"\.(attention\.attention|attention|self_attn)\.(query|q_proj)\.", ".attn.q."),
    (r"\.(attention\.attention|attention|self_attn)\.(key|k_proj)\.", ".attn.k."),
    (r"\.(attention\.attention|attention|self_attn)\.(value|v_proj)\.", ".attn.v."),
    (r"\.(attention\.output\.dense|attention\.o_proj|self_attn\.out_proj)\.", ".attn.proj."),
    (r"\.(layernorm_before|layer_norm1)\.", ".norm1."),
    (r"\.(layernorm_after|layer_norm2)\.", ".norm2."),
    (r"\.(intermediate\.dense|mlp\.weights_in)\.", ".mlp.fc1."),
    (r"\.(output\.dense|mlp\.weights_out|mlp\.down_proj)\.", ".mlp.fc2."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
)
_EVAS = ((r"\.ls(\d)\.gamma$", r".gamma_\1"),)  # of DINOv3, as timm's Eva names it
_REST = re.compile(
    r"^(head|pooler|classifier|\w+_classifier|visual_projection|decoder)\.|mask_token$"
)
MOST_SIDE = 4096


class Family(NamedTuple):
    """Family of models, by what a `config.json` calls it."""

    timm: Callable[[Settings, Tensors], str]
    """Architecture of timm that computes the same."""
    allowed: Mapping[str, tuple[object, ...]]
    """Settings that it computes the same for."""
    mend: Callable[[Tensors], Tensors] = dict
    """What has another form there than in timm, under timm's names."""


def _dinov2(config: Settings, tensors: Tensors) -> str:
    packed = (
        tensors["blocks.0.mlp.fc1.weight"].shape[0]
        == 2 * tensors["blocks.0.mlp.fc2.weight"].shape[1]
    )
    registers = "reg4_" if "reg_token" in tensors else ""
    return f"vit_{'giant' if packed else 'small'}_patch14_{registers}dinov2"


def _dinov3(config: Settings, tensors: Tensors) -> str:
    size = "small_plus" if "blocks.0.mlp.fc1_g.weight" in tensors else "small"
    return f"vit_{size}_patch16_dinov3" + ("_qkvb" if "blocks.0.attn.q_bias" in tensors else "")


def _gated(tensors: Tensors) -> Tensors:
    gated = any(".mlp.gate_proj." in name for name in tensors)
    names = (
        (r"\.mlp\.gate_proj\.", ".mlp.fc1_g."),
        (r"\.mlp\.up_proj\.", ".mlp.fc1_x." if gated else ".mlp.fc1."),
    )
    return renamed(tensors, (*names, *_EVAS))


def _flat(tensors: Tensors) -> Tensors:
    """Tokens and positions of one dimension less."""
    shaped = {"cls_token": (1, 1, -1), "pos_embed": (1, *tensors["pos_embed"].shape[-2:])}
    return tensors | {
        name: tensors[name].reshape(shape) for name, shape in shaped.items() if name in tensors
    }


_GELU = {
    "hidden_act": ("gelu",),
    "layer_norm_eps": (1e-6, 1e-12),
    "qkv_bias": (True,),
    "num_channels": (3,),
}
_CLIPS = _GELU | {"hidden_act": ("gelu", "quick_gelu"), "layer_norm_eps": (1e-5,)}
_CLIP = Family(
    lambda config, _: (
        f"vit_base_patch16_clip_{'quickgelu_' if config.get('hidden_act') != 'gelu' else ''}224"
    ),
    _CLIPS,
    _flat,
)
_SIGLIP = Family(
    lambda config, _: (
        "vit_base_patch16_siglip_224"
        if config.get("hidden_act") == "gelu"
        else "vit_so400m_patch16_siglip_256"
    ),
    _GELU | {"hidden_act": ("gelu", "gelu_pytorch_tanh")},
    _flat,
)
_DINOV3S = {
    "layer_norm_eps": (1e-5,),
    "rope_theta": (100.0,),
    "key_bias": (False,),
    "num_channels": (3,),
}
FAMILIES = {
    "dinov2": Family(_dinov2, _GELU, with_positions),
    "dinov2_with_registers": Family(_dinov2, _GELU, with_positions),
    "dinov3_vit": Family(_dinov3, _DINOV3S | {"hidden_act": ("gelu", "silu")}, _gated),
    "ijepa": Family(lambda *_: "vit_huge_patch14_gap_224", _GELU),
    "deit": Family(lambda *_: "deit_tiny_distilled_patch16_224", _GELU),
    "pixio": Family(lambda *_: "vit_base_patch16_224", _GELU, several_cls),
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "metaclip_2_vision_model": _CLIP,
}
PLAIN = ("vit", "vit_mae", "vit_msn")
"""Families that a ViT as MAE has it computes: `mim.weights.hugging_face` names their tensors."""


def of_transformers(
    tensors: Mapping[str, Tensor], config: object, origin: str
) -> tuple[Tensors, Settings] | None:
    """Tensors of a model of transformers -> under our names, and the settings of `encoder=timm`.

    None where the config says no family, or a plain one.

    Raises:
        ValueError: where the family is none that is read, or a setting has no counterpart.
    """
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(config, dict) or kind is None or kind in PLAIN:
        return None
    if kind not in FAMILIES:
        read = ", ".join(sorted({*FAMILIES, *PLAIN}))
        raise ValueError(
            f"{printable(origin)} says model_type={printable(kind, 60)}, which is not read; {read} "
            "are"
        )
    family, about = FAMILIES[kind], config
    if isinstance(config.get("vision_config"), dict):
        about = config["vision_config"]
        tensors = {
            name: value for name, value in tensors.items() if name.startswith("vision_model.")
        }
    for key, values in family.allowed.items():
        if key in about and about[key] not in values:
            raise ValueError(
                f"{printable(origin)} says {key}={printable(about[key], 60)}, and timm's {kind} "
                f"has {values[0]}: it would be "
                "another network; choose weights of such a one"
            )
    try:
        return _settle(dict(tensors), family, about, kind)
    except (KeyError, IndexError, RuntimeError) as error:
        raise ValueError(
            f"{printable(origin)} holds no whole {kind}: {printable(error, 200)} is missing"
        ) from error


def _settle(
    tensors: Tensors, family: Family, config: Settings, kind: str
) -> tuple[Tensors, Settings]:
    there = {name: value for name, value in tensors.items() if value.numel()}  # registers, or none
    ours = family.mend(_one_projection(renamed(there, _NAMES)))
    width, _, _, patch = ours["patch_embed.proj.weight"].shape
    side, name = config.get("image_size"), family.timm(config, ours)
    settings: Settings = {
        "_target_": TIMM_VIT,
        "name": name,
        "image_size": side
        if type(side) is int and patch <= side <= MOST_SIDE
        else input_side(name),
        "patch_size": patch,
        "width": width,
        "depth": depth_of(ours),
        "mlp_ratio": (
            len(ours.get("blocks.0.mlp.fc1_g.weight", ours.get("blocks.0.mlp.fc1.weight", ())))
            + 0.25
        )
        / width,
    }
    if "reg_token" in ours:
        settings["registers"] = ours["reg_token"].shape[1]
    elif config.get("num_register_tokens") == 0:
        settings["registers"] = 0
    named = {
        name if _REST.search(name) else f"encoder.{name}": value for name, value in ours.items()
    }
    return named, settings


def _one_projection(tensors: Tensors) -> Tensors:
    """Queries, keys and values in one matrix; where keys have no bias, those of the two others stay
    apart.
    """
    found = {
        name: value for name, value in tensors.items() if not re.search(r"\.attn\.[qkv]\.", name)
    }
    for name in tensors:
        if name.endswith(".attn.q.weight"):
            block = name.removesuffix("q.weight")
            found[f"{block}qkv.weight"] = torch.cat(
                [tensors[f"{block}{part}.weight"] for part in "qkv"]
            )
            biases = {
                part: tensors[f"{block}{part}.bias"]
                for part in "qkv"
                if f"{block}{part}.bias" in tensors
            }
            if len(biases) == 3:
                found[f"{block}qkv.bias"] = torch.cat(list(biases.values()))
            else:
                found |= {f"{block}{part}_bias": value for part, value in biases.items()}
    return found
