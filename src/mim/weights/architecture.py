"""Which architecture of timm weights are of: `encoder=timm` and its settings, read off a model of
timm or off tensors.
"""

import math
import re
from collections.abc import Mapping

import timm
import torch
from timm.layers import Attention, LayerNorm, Mlp, PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from mim.encoder.timm_model import as_transformer, heads_of
from mim.encoder.timm_vit import TimmViT
from mim.plain import Settings, printable
from mim.weights.weights import Weights

TIMM_VIT = "mim.encoder.timm_vit.TimmViT"
MOST_PREFIX = 16
"""Prefix tokens that may have a position, too."""
_HEAD = 64
"""Channels of a head, of all families that are told by their tensors but AIMv2."""


def of_model(model: nn.Module, name: str) -> Settings | None:
    """Settings of `encoder=timm` for a model of timm; None for a plain ViT, BEiT or Swin, which
    have encoders of their own.

    Raises:
        ValueError: where it is none of them, and cannot be split into patches and blocks.
    """
    if type(model).__name__ in ("Beit", "SwinTransformer") or _is_plain(model):
        return None
    transformer = as_transformer(model, name)
    return {
        "_target_": TIMM_VIT,
        "name": name.partition(".")[0],
        "image_size": list(transformer.patch_embed.img_size),
        "patch_size": transformer.patch_embed.patch_size[0],
        "width": transformer.embed_dim,
        "depth": len(transformer.blocks),
        "heads": heads_of(transformer),
    }


def of_name(name: object, tensors: Mapping[str, Tensor] | None = None) -> Settings | None:
    """Settings of `encoder=timm` for a name of timm, as the `config.json` of its folders has it;
    sizes are the tensors', and the image size where their positions are of another.

    None where it is no name of timm's, or that of a plain ViT, BEiT or Swin.
    """
    if not isinstance(name, str) or not timm.is_model(name):
        return None
    with torch.device("meta"):
        found = of_model(timm.create_model(name, num_classes=0), name)
    if found is None:
        return None
    settings = {key: found[key] for key in ("_target_", "name", "image_size")}
    stem = "patch_embed.proj.weight"
    if tensors and "pos_embed" in tensors and tensors.get(stem, tensors["pos_embed"]).ndim == 4:
        patch = tensors[stem].shape[-1]
        patches = math.prod(side // patch for side in found["image_size"])
        if not 0 <= tensors["pos_embed"].shape[1] - patches <= MOST_PREFIX:
            settings["image_size"] = _image_size(tensors, patch)
    return settings


def with_name(weights: Weights, name: str | None) -> Weights:
    """Weights of a model of timm that somebody names, where neither a config nor the tensors tell;
    as they are for no name.

    Raises:
        ValueError: where the weights say themselves what they are, or it is no name of a
            transformer that has to be named.
    """
    if name is None:
        return weights
    if weights.config is not None or weights.architecture is not None:
        raise ValueError(
            f"{weights.origin} says itself which model it is; leave the name {printable(name, 60)} "
            "out"
        )
    settings = of_name(name)
    if settings is None:
        raise ValueError(
            f"{printable(name, 60)} is no transformer of timm that has to be named: give one of "
            "docs/weights.md, e.g. "
            "eva02_tiny_patch14_224, or leave the name out for a plain ViT, BEiT or Swin"
        )
    tensors = weights.half(encoder=True)
    patch = tensors["patch_embed.proj.weight"].shape[-1]
    return weights._replace(architecture=settings | {"image_size": _image_size(tensors, patch)})


def _is_plain(model: object) -> bool:
    """Whether a model of timm is a ViT as MAE has it, which `mim.encoder.vit.ViT` is."""
    if type(model) is not VisionTransformer or type(model.patch_embed) is not PatchEmbed:
        return False
    block = model.blocks[0]
    if type(block) is not Block or type(block.attn) is not Attention or type(block.mlp) is not Mlp:
        return False
    absent = (block.ls1, block.attn.q_norm, block.attn.norm, block.mlp.norm, model.norm_pre)
    if model.cls_token is None or model.num_prefix_tokens != 1 or model.pos_embed is None:
        return False
    return (
        all(type(part) is nn.Identity for part in (*absent, model.patch_embed.norm))
        and model.pos_embed.shape[1] == 1 + model.patch_embed.num_patches
        and all(
            isinstance(norm, LayerNorm) and norm.eps == 1e-6 for norm in (model.norm, block.norm1)
        )
        and type(block.mlp.act) is nn.GELU
        and block.attn.qkv.bias is not None
        and model.patch_embed.proj.bias is not None
    )


def of_tensors(tensors: Mapping[str, Tensor], heads: int | None) -> Settings | None:
    """The same for tensors under timm's names, of families that are told by them; None where they
    are of none.

    DINOv2 and DINOv3 with and without registers, DeiT III, a distilled DeiT, AIMv2, I-JEPA, and
    ViTs with registers.
    """
    name = _name(tensors)
    if name is None:
        return None
    width, _, _, patch = tensors["patch_embed.proj.weight"].shape
    head = 2 * _HEAD if name.startswith("aimv2") else _HEAD
    first = tensors.get("blocks.0.mlp.fc1_g.weight", tensors.get("blocks.0.mlp.fc1.weight"))
    settings: Settings = {
        "_target_": TIMM_VIT,
        "name": name,
        "image_size": _image_size(tensors, patch),
        "patch_size": patch,
        "width": width,
        "depth": depth_of(tensors),
        "heads": heads or (width // head if width % head == 0 else None),
    }
    if first is not None:
        settings["mlp_ratio"] = (len(first) + 0.25) / width  # rounded down there
    if name == "vit_base_patch16_224":
        settings["registers"] = tensors["reg_token"].shape[1]
    return settings


def _name(tensors: Mapping[str, Tensor]) -> str | None:
    has = tensors.keys()
    positions = tensors["pos_embed"].shape[1] if "pos_embed" in has else 0
    registers = tensors["reg_token"].shape[1] if "reg_token" in has else 0
    square = positions and math.isqrt(positions) ** 2 == positions
    if "blocks.0.gamma_1" in has and registers and not positions:
        size = "small_plus" if "blocks.0.mlp.fc1_g.weight" in has else "small"
        return f"vit_{size}_patch16_dinov3" + ("_qkvb" if "blocks.0.attn.q_bias" in has else "")
    if "patch_embed.norm.weight" in has and "blocks.0.mlp.fc1_g.weight" in has:
        return "aimv2_large_patch14_224"
    if any(
        re.search(r"q_bias|gamma_|q_norm|norm_pre|fc1_g|blocks\.0\.\w*(attns|in_proj)|rope", name)
        for name in has
    ):
        return None
    if "blocks.0.ls1.gamma" in has and "cls_token" in has and positions:
        packed = (
            tensors["blocks.0.mlp.fc1.weight"].shape[0]
            == 2 * tensors["blocks.0.mlp.fc2.weight"].shape[1]
        )
        if not registers and square:
            return None if packed else "deit3_small_patch16_224"
        size = "giant" if packed else "small"
        if registers in (0, 4):
            return (
                f"vit_{size}_patch14_{'reg4_' if registers else ''}dinov2"
                if square or not registers
                else None
            )
        return None
    if "blocks.0.ls1.gamma" in has or not positions:
        return None
    if "dist_token" in has:
        return "deit_tiny_distilled_patch16_224"
    if registers:
        return "vit_base_patch16_224" if "cls_token" in has and not square else None
    if square:
        return "flexivit_small" if "cls_token" in has else "vit_huge_patch14_gap_224"
    return None


def _image_size(tensors: Mapping[str, Tensor], patch: int) -> int | None:
    """Pixels per side of a square image, as far as positions tell."""
    if "pos_embed" not in tensors:
        return None
    # prefix tokens are far fewer than a row adds
    return math.isqrt(tensors["pos_embed"].shape[1]) * patch


def depth_of(tensors: Mapping[str, Tensor]) -> int:
    """Number of blocks."""
    return len({match[1] for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))})


def check_shapes(settings: Settings, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Refuse settings that build tensors of other shapes than these, before any memory is taken for
    them.

    Raises:
        ValueError: naming the first that differs.
    """
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    try:
        with torch.device("meta"):
            built = TimmViT(**arguments).state_dict()
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"{origin}: its encoder cannot be built: {' '.join(str(error).split())}"
        ) from error
    stands_in = {"norm.weight", "norm.bias"}  # fc_norm, of what was fine-tuned with its mean
    for name, value in built.items():
        there = tensors.get(name)
        if name == "pos_embed" or (there is None and name in stands_in):
            continue
        if there is None or there.shape != value.shape:
            shape = "none" if there is None else tuple(there.shape)
            raise ValueError(
                f"{printable(origin)} is no {settings['name']} of timm: {name} is {shape} there "
                "and "
                f"{tuple(value.shape)} in it"
            )
