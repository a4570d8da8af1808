"""Build the encoder that a checkpoint is of."""

import re
from typing import Any

from hydra.utils import get_class, get_object
from torch import Tensor, nn

from mim.checkpoint.resize import side_of
from mim.checkpoint.weights import Weights

HEADS = {192: 3, 384: 6, 512: 16, 768: 12, 1024: 16, 1280: 16}  # by width: ViT-Ti to ViT-H, and MAE's decoder


def encoder_config(weights: Weights, image_size: int | None = None, heads: int | None = None) -> dict[str, Any]:
    """The `encoder` node of the config that builds the encoder these weights are of.

    Args:
        weights: of a run, which says how it was built, or of anyone, whose sizes are read off the tensors.
        image_size: pixels per side, where not those of the weights.
        heads: attention heads, where neither the weights nor the width tell.

    Raises:
        ValueError: where something cannot be told.
    """
    known = (weights.config or {}).get("encoder")
    config = dict(known) if known else _sizes(weights, heads)
    if image_size:
        config["image_size"] = image_size
    if config.get("image_size") is None:
        raise ValueError(f"{weights.origin} does not say for which image size it was trained; give one")
    return config


def build_encoder(weights: Weights, image_size: int | None = None, heads: int | None = None) -> nn.Module:
    """The encoder that these weights are of, with new weights; see `encoder_config`.

    Raises:
        ValueError: where a checkpoint names anything but an encoder of this project.
    """
    config = encoder_config(weights, image_size, heads)
    check_targets(config, "mim.encoder.", weights.origin)
    return get_class(config.pop("_target_"))(**config)


def check_targets(node: Any, package: str, origin: str) -> None:
    """Refuse a config out of a file that would call anything but what a package of ours defines.

    Raises:
        ValueError: naming what it wants to build.
    """
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
        check_targets(value, package, origin)
    target = node.get("_target_") if isinstance(node, dict) else None
    # by where it is defined, too: `mim.encoder.vit.torch.load` is reached through ours, and is not ours
    if target and not (target.startswith(package) and get_object(target).__module__.startswith(package)):
        raise ValueError(f"{origin} wants to build {target}; only what {package}* defines is built from a checkpoint")


def guess_heads(width: int, given: int | None, option: str) -> int:
    """Attention heads: as given, or as published for this width.

    Raises:
        ValueError: where neither is known.
    """
    if given is None and width not in HEADS:
        raise ValueError(
            f"the number of attention heads of a transformer {width} wide is not in its tensors; give {option}"
        )
    return given or HEADS[width]


def _sizes(weights: Weights, heads: int | None) -> dict[str, Any]:
    """Read an architecture off the tensors of an encoder."""
    tensors = weights.half(encoder=True)
    if "layers.0.blocks.0.norm1.weight" in tensors:
        return _swin(tensors)
    width, _, _, patch = tensors["patch_embed.proj.weight"].shape
    hidden = tensors["blocks.0.mlp.fc1.weight"].shape[0]
    config = {
        "patch_size": patch,
        "width": width,
        "depth": _count(tensors, r"blocks\.\d+\.norm1\.weight"),
        "mlp_ratio": hidden / width,
    }
    if "blocks.0.attn.q_bias" not in tensors:
        side = side_of(tensors["pos_embed"].shape[1] - 1)
        heads = guess_heads(width, heads or weights.heads, "--heads")
        return config | {"_target_": "mim.encoder.vit.ViT", "image_size": side * patch, "heads": heads}
    tables = [value for name, value in tensors.items() if name.endswith("relative_position_bias_table")]
    side = (side_of(len(tables[0]) - 3) + 1) // 2 if tables else side_of(tensors["pos_embed"].shape[1] - 1)
    shared = "rel_pos_bias.relative_position_bias_table" in tensors
    return config | {
        "_target_": "mim.encoder.beit.Beit",
        "image_size": side * patch,
        "heads": tables[0].shape[1] if tables else guess_heads(width, heads or weights.heads, "--heads"),
        "positions": "shared_bias" if shared else "block_bias" if tables else "absolute",
    }


def _swin(tensors: dict[str, Tensor]) -> dict[str, Any]:
    stages = _count(tensors, r"layers\.\d+\.blocks\.0\.norm1\.weight")
    first = [tensors[f"layers.{stage}.blocks.0.attn.relative_position_bias_table"] for stage in range(stages)]
    width, _, _, small = tensors["patch_embed.proj.weight"].shape
    return {
        "_target_": "mim.encoder.swin.Swin",
        "image_size": None,
        "patch_size": small * 2 ** (stages - 1),
        "width": width,
        "depths": [_count(tensors, rf"layers\.{stage}\.blocks\.\d+\.norm1\.weight") for stage in range(stages)],
        "heads": [table.shape[1] for table in first],
        "window": (side_of(len(first[0])) + 1) // 2,
    }


def _count(tensors: dict[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in tensors)
