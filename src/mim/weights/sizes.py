"""Sizes of an encoder, read off its tensors."""

import math
import re

from torch import Tensor

from mim.geometry import pair
from mim.plain import Settings
from mim.weights.architecture import depth_of, of_tensors
from mim.weights.grid import shown_grid
from mim.weights.resize import side_of
from mim.weights.strangers import (
    refuse_other_blocks,
    refuse_other_tokens,
    refuse_unknown_activation,
)
from mim.weights.weights import Weights

Sides = int | list[int]
"""Pixels per side, or [height, width]."""
_CAPI_SIDE = 224
HEADS_SAID_BY = (
    "encoder.heads= of train.py and eval.py, --heads of convert, embed, export and reconstruct, "
    "heads= of mim.load"
)
# by width: ViT-Ti to ViT-H, and MAE's decoder
HEADS = {192: 3, 384: 6, 512: 16, 768: 12, 1024: 16, 1280: 16}


def guess_heads(width: int, given: int | None, option: str) -> int:
    """Attention heads: as given, or as published for this width.

    Raises:
        ValueError: where neither is known.
    """
    if given is None and width not in HEADS:
        raise ValueError(
            f"the number of attention heads of a transformer {width} wide is not in its tensors; "
            f"give {option}"
        )
    return given or HEADS[width]


def sizes_of(weights: Weights) -> Settings:
    """Read an architecture off the tensors of an encoder."""
    tensors = weights.half(encoder=True)
    timms = of_tensors(tensors, weights.heads)
    if timms is not None:
        refuse_unknown_activation(weights.half(encoder=False), weights.origin)
        return timms | {
            "heads": timms["heads"] or guess_heads(timms["width"], weights.heads, HEADS_SAID_BY)
        }
    refuse_other_blocks(tensors, weights.origin)
    codes = "lm_head.weight" in weights.tensors  # of BEiT; EVA-02 has gated feed-forwards beside it
    beit = codes and "blocks.0.mlp.fc1.weight" in tensors
    refuse_other_tokens(tensors, weights.origin, beit)
    config = measured_sizes(tensors)
    if "depths" in config:
        return config | _swin(tensors, len(config["depths"]))
    width, patch = config["width"], config["patch_size"]
    config["mlp_ratio"] = tensors["blocks.0.mlp.fc1.weight"].shape[0] / width
    if "blocks.0.attn.freqs" in tensors:
        return config | _capi(tensors, width, patch)
    if "blocks.0.attn.q_bias" not in tensors:
        heads = guess_heads(width, weights.heads, HEADS_SAID_BY)
        return config | {
            "_target_": "mim.encoder.vit.ViT",
            "image_size": _of_positions(tensors["pos_embed"], patch),
            "heads": heads,
        }
    tables = [
        value for name, value in tensors.items() if name.endswith("relative_position_bias_table")
    ]
    side = (
        (side_of(len(tables[0]) - 3) + 1) // 2
        if tables
        else side_of(tensors["pos_embed"].shape[1] - 1)
    )
    shared = "rel_pos_bias.relative_position_bias_table" in tensors
    if "blocks.0.gamma_1" not in tensors:
        config["layer_scale"] = 0.0
    both = "absolute_and_block_bias" if "pos_embed" in tensors else "block_bias"
    return config | {
        "_target_": "mim.encoder.beit.Beit",
        "image_size": _sides(side, patch),
        "heads": tables[0].shape[1] if tables else guess_heads(width, weights.heads, HEADS_SAID_BY),
        "positions": "shared_bias" if shared else both if tables else "absolute",
    }


def _capi(tensors: dict[str, Tensor], width: int, patch: int) -> Settings:
    """CAPI's own: a head is as wide as its frequencies; the release is of images of 224 pixels."""
    return {
        "_target_": "mim.encoder.capi.CapiViT",
        "image_size": _CAPI_SIDE // patch * patch,
        "heads": width // tensors["blocks.0.attn.freqs"].shape[1],
        "registers": tensors["reg_token"].shape[1],
    }


def measured_sizes(tensors: dict[str, Tensor]) -> Settings:
    """The sizes that any encoder's tensors show: of its patches, its tokens and the number of its
    blocks.
    """
    shape = tensors["patch_embed.proj.weight"].shape
    if len(shape) != 4:
        raise ValueError(
            "an encoder here embeds patches of images; this one has patch_embed.proj.weight "
            f"{tuple(shape)}"
        )
    width, channels = shape[:2]
    patch: Sides = shape[3] if shape[2] == shape[3] else list(shape[2:])
    stages = _count(tensors, r"layers\.\d+\.blocks\.0\.norm1\.weight")
    if not stages:
        return {
            "channels": channels,
            "patch_size": patch,
            "width": width,
            "depth": depth_of(tensors),
        }
    depths = [
        _count(tensors, rf"layers\.{stage}\.blocks\.\d+\.norm1\.weight") for stage in range(stages)
    ]
    return {
        "channels": channels,
        "patch_size": patch * 2 ** (stages - 1),
        "width": width,
        "depths": depths,
    }


def _swin(tensors: dict[str, Tensor], stages: int) -> Settings:
    first = [
        tensors[f"layers.{stage}.blocks.0.attn.relative_position_bias_table"]
        for stage in range(stages)
    ]
    return {
        "_target_": "mim.encoder.swin.Swin",
        "image_size": None,
        "heads": [table.shape[1] for table in first],
        "window": (side_of(len(first[0])) + 1) // 2,
    }


def _of_positions(positions: Tensor, patch: Sides) -> Sides | None:
    """Image size of positions with a cls token: as sines and cosines show it, else of a square;
    None where they are no square.
    """
    side = math.isqrt(positions.shape[1] - 1)
    shown = shown_grid(positions)
    if shown is None or shown == (side, side):
        return _sides(side, patch) if side * side == positions.shape[1] - 1 else None
    return [rows * each for rows, each in zip(shown, pair(patch), strict=True)]


def _sides(side: int, patch: Sides) -> Sides:
    """Image size of a square grid of patches."""
    return side * patch if isinstance(patch, int) else [side * each for each in patch]


def _count(tensors: dict[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in tensors)
