"""Weights of the official SimMIM (microsoft/SimMIM, models/simmim.py) and ours.

The tensors are the same but for the predictor: it emits (channel, row, column) where a patch of ours is (row, column, channel).
"""

import re
from collections.abc import Mapping

from torch import Tensor

_BUFFER = re.compile(r"(relative_position_index|attn_mask)$")  # computed, not learned
_DOWNSAMPLE = re.compile(r"layers\.(\d+)\.downsample\.")


def from_official_simmim(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pre-trained (`encoder.blocks...`, `decoder.0...`) or fine-tuned (`blocks...`, `head...`) -> our names and order."""
    ours = {}
    for name, value in tensors.items():
        if _BUFFER.search(name):
            continue
        if name.startswith("decoder.0."):
            ours[name.replace("decoder.0.", "decoder.")] = _reorder(value)
        elif name == "encoder.mask_token":
            ours["mask_token"] = value
        else:
            bare = name.removeprefix("encoder.")
            # timm gives the merging of patches to the stage that follows it
            bare = _DOWNSAMPLE.sub(lambda match: f"layers.{int(match[1]) + 1}.downsample.", bare)
            ours[bare if bare.startswith(("head.", "fc_norm.")) else f"encoder.{bare}"] = value
    return ours


def _reorder(value: Tensor) -> Tensor:
    """A 1 x 1 convolution (P, D, 1, 1) or its bias (P,), from (channel, row, column) to (row, column, channel), as a matrix (P, D)."""
    side = round((len(value) / 3) ** 0.5)
    return value.unflatten(0, (3, side, side)).movedim(0, 2).reshape(value.shape[:2])
