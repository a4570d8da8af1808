"""Weights of the official SimMIM (microsoft/SimMIM, models/simmim.py) and ours.

The tensors are the same but for the predictor: it emits (channel, row, column) where a patch of
ours is (row, column, channel).
"""

import re
from collections.abc import Mapping

from torch import Tensor

from mim.weights.releases import split
from mim.weights.towers import with_whole_bias

_DOWNSAMPLE = re.compile(r"^layers\.(\d+)\.downsample\.")


def from_official_simmim(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pre-trained (`encoder.blocks...`, `decoder.0...`) or fine-tuned (`blocks...`, `head...`) ->
    our names and order.
    """
    ours = {}
    bare = {}
    for name, value in tensors.items():
        if name.startswith("decoder.0."):
            ours[name.replace("decoder.0.", "decoder.")] = _reorder(value)
        elif name == "encoder.mask_token":
            ours["mask_token"] = value
        else:  # timm gives the merging of patches to the stage that follows it
            timm = _DOWNSAMPLE.sub(
                lambda match: f"layers.{int(match[1]) + 1}.downsample.",
                name.removeprefix("encoder."),
            )
            bare[timm] = value
    return from_bare(bare) | ours


def from_bare(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An encoder or a classifier under timm's names, or those of its release -> `encoder.*`.

    Its head, the norm before it, and what else was trained beside it keep their names; buffers are
    dropped.
    """
    inside, beside = split(tensors)
    inside = with_whole_bias(inside)
    positions = inside.get("pos_embed")
    if positions is not None and positions.ndim == 2:  # without an axis of images
        inside["pos_embed"] = positions[None]
    return {
        name if name.startswith(("head.", "fc_norm.", "attn_pool.")) else f"encoder.{name}": value
        for name, value in inside.items()
    } | beside


def _reorder(value: Tensor) -> Tensor:
    """A 1 x 1 convolution (P, D, 1, 1), or its bias, by (channel, row, column) -> a matrix (P, D)
    by (row, column, channel).
    """
    side = round((len(value) / 3) ** 0.5)
    return value.unflatten(0, (3, side, side)).movedim(0, 2).reshape(value.shape[:2])
