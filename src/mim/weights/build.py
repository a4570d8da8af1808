"""Build the encoder that a checkpoint is of."""

import re
from typing import Any

from torch import Tensor

from mim.encoder.encoder import Encoder
from mim.encoder.timm_model import input_side
from mim.geometry import pair
from mim.plain import Settings, printable
from mim.ranges import Size
from mim.weights.architecture import TIMM_VIT, check_shapes, depth_of, of_tensors
from mim.weights.resize import side_of
from mim.weights.settings import ENCODER, Kind, build, check_settings, public_classes
from mim.weights.strangers import (
    refuse_other_blocks,
    refuse_other_tokens,
    refuse_unknown_activation,
)
from mim.weights.weights import Weights

# of an image, 2048 x 2048 in patches of 16; of an index of their distances
MOST_PATCHES, MOST_PAIRS = 2**14, 2**28
_CAPI_SIDE = 224
HEADS_SAID_BY = (
    "encoder.heads= of train.py and eval.py, --heads of convert, embed and export, heads= of "
    "mim.load"
)
# by width: ViT-Ti to ViT-H, and MAE's decoder
HEADS = {192: 3, 384: 6, 512: 16, 768: 12, 1024: 16, 1280: 16}


def encoder_config(
    weights: Weights,
    image_size: Size | None = None,
    heads: int | None = None,
    channels: int | None = None,
) -> Settings:
    """The `encoder` node of the config that builds the encoder these weights are of.

    Args:
        weights: of a run, which says how it was built, or of anyone, whose sizes are read off the
            tensors.
        image_size: pixels per side, or (height, width), where not those of the weights.
        heads: attention heads, where neither the weights nor the width tell.
        channels: of an image, where not those of the weights.

    Raises:
        ValueError: where something cannot be told, or the weights say other heads.
    """
    weights = weights.with_heads(heads)
    known = (weights.config or {}).get("encoder") or weights.architecture
    try:
        config = (
            check_settings(known, _kind(weights), weights.origin, "encoder")
            if known
            else _sizes(weights)
        )
        # its tensors have names that nobody knows
        own = config["_target_"] not in public_classes(ENCODER)
        measured = {} if own else _measured(weights.half(encoder=True))
    except (KeyError, IndexError, ArithmeticError, TypeError) as error:
        raise ValueError(
            f"{weights.origin} holds no whole encoder: {printable(error)} is missing or of no size "
            "that fits the others"
        ) from error
    if config["_target_"] == TIMM_VIT:
        config = _of_timm(config, measured, weights)
    if image_size and (not own or "image_size" in config):
        height, width = pair(image_size)
        config["image_size"] = height if height == width else [height, width]
    if config.get("image_size") is None and not own:
        raise ValueError(
            f"{weights.origin} does not say for which image size it was trained; give one"
        )
    for name, size in measured.items():
        if name in config and _plain(name, config[name]) != size:
            raise ValueError(
                f"{weights.origin} is damaged: its config says encoder.{name}={config[name]}, its "
                f"tensors {size}"
            )
    if not own and config["_target_"] != TIMM_VIT:  # timm's models keep theirs
        config["channels"] = channels or measured["channels"]
    _refuse_too_many_patches(config, weights)
    return config


def _plain(name: str, size: object) -> Any:
    """A size as it is measured: of a square patch one number."""
    return (
        size[0]
        if name == "patch_size" and isinstance(size, list | tuple) and size[0] == size[-1]
        else size
    )


def build_encoder(
    weights: Weights,
    image_size: Size | None = None,
    heads: int | None = None,
    channels: int | None = None,
) -> Encoder:
    """The encoder that these weights are of, with new weights; see `encoder_config`.

    Raises:
        ValueError: where a checkpoint names anything but an encoder of this project, or the one
            that the command line names.
    """
    return build(
        encoder_config(weights, image_size, heads, channels),
        _kind(weights),
        weights.origin,
        "encoder",
    )


def _of_timm(config: Settings, measured: Settings, weights: Weights) -> Settings:
    """Settings of a transformer of timm with its sizes, once they are known to be those of the
    tensors.
    """
    sizes = {
        name: size
        for name, size in measured.items()
        if name != "channels" and config.get(name) is None
    }
    heads = {"heads": weights.heads} if config.get("heads") is None and weights.heads else {}
    config = config | sizes | heads
    if config.get("image_size") is None:
        config["image_size"] = (
            input_side(config["name"]) // config["patch_size"] * config["patch_size"]
        )
    check_shapes(config, weights.half(encoder=True), weights.origin)
    return config


def _kind(weights: Weights) -> Kind:
    """What these weights may name as their encoder."""
    return ENCODER._replace(own=weights.own_encoder)


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


def _sizes(weights: Weights) -> Settings:
    """Read an architecture off the tensors of an encoder."""
    tensors = weights.half(encoder=True)
    timms = of_tensors(tensors, weights.heads)
    if timms is not None:
        refuse_unknown_activation(weights.half(encoder=False), weights.origin)
        return timms | {
            "heads": timms["heads"] or guess_heads(timms["width"], weights.heads, HEADS_SAID_BY)
        }
    refuse_other_blocks(tensors, weights.origin)
    refuse_other_tokens(tensors, weights.origin)
    config = _measured(tensors)
    if "depths" in config:
        return config | _swin(tensors, len(config["depths"]))
    width, patch = config["width"], config["patch_size"]
    config["mlp_ratio"] = tensors["blocks.0.mlp.fc1.weight"].shape[0] / width
    if "blocks.0.attn.freqs" in tensors:
        return config | _capi(tensors, width, patch)
    if "blocks.0.attn.q_bias" not in tensors:
        side = side_of(tensors["pos_embed"].shape[1] - 1)
        heads = guess_heads(width, weights.heads, HEADS_SAID_BY)
        return config | {
            "_target_": "mim.encoder.vit.ViT",
            "image_size": _sides(side, patch),
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


def _measured(tensors: dict[str, Tensor]) -> Settings:
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
    patch: Any = shape[3] if shape[2] == shape[3] else list(shape[2:])
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


def _sides(side: int, patch: Any) -> Any:
    """Image size of a square grid of patches."""
    return side * patch if isinstance(patch, int) else [side * each for each in patch]


def _refuse_too_many_patches(config: Settings, weights: Weights) -> None:
    """Positions and the index of their distances are made before any weight is loaded."""
    if not {"image_size", "patch_size"} <= config.keys():
        return
    (height, width), (tall, wide) = pair(config["image_size"]), pair(config["patch_size"])
    patches = max(0, height // tall) * max(0, width // wide)
    biases = str(config.get("positions", "")).endswith("bias")
    pairs = (
        patches**2 * (config["depth"] if str(config.get("positions")).endswith("block_bias") else 1)
        if biases
        else 0
    )
    if not 1 <= patches <= MOST_PATCHES or pairs > MOST_PAIRS:
        raise ValueError(
            f"{weights.origin} would be built for {patches:,} patches of an image of {height} x "
            f"{width}; 1 to "
            f"{MOST_PATCHES:,} are allowed, and fewer where it has biases by distance: choose "
            "another data.image_size"
        )


def _count(tensors: dict[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in tensors)
