"""Carry what an encoder knows about positions to another grid: embeddings and tables of relative biases."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed, resize_rel_pos_bias_table
from torch import Tensor
from torch.nn.functional import interpolate

from mim.encoder.encoder import Encoder
from mim.encoder.timm_vit import TimmViT
from mim.weights.interpolate import interpolate_positions

_SHARED = "rel_pos_bias.relative_position_bias_table"
_TABLE = "relative_position_bias_table"


def resize_encoder(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], encoder: Encoder
) -> tuple[dict[str, Tensor], list[str]]:
    """An encoder's tensors, by name -> those that fit the encoder whose tensors are `own`, and what was changed.

    Position embeddings are interpolated (bicubic, as MAE does), tables of biases too (as BEiT does), and one table for all blocks
    becomes one for each where the encoder wants that (as SimMIM does to fine-tune).
    """
    tensors = dict(tensors)
    changes = []
    if _SHARED in tensors and _SHARED not in own:
        blocks = [name for name in own if re.fullmatch(rf"blocks\.\d+\.attn\.{_TABLE}", name)]
        if blocks:
            shared = tensors.pop(_SHARED)
            tensors.update(dict.fromkeys(blocks, shared))
            changes.append("the shared bias copied to every block")
    sizes: set[tuple[int, tuple[int, int]]] = set()
    grid = encoder.geometry.grid
    for name in tensors.keys() & own.keys():
        value, wanted = tensors[name], own[name]
        if value.shape == wanted.shape:
            continue
        if name == "pos_embed" and value.shape[-1] == wanted.shape[-1]:
            prefix = encoder.positions_of_prefix if isinstance(encoder, TimmViT) else encoder.prefix
            tensors[name] = _resized(value, encoder, prefix)
            sizes.add((side_of(value.shape[1] - prefix), grid))
        elif name.endswith(_TABLE) and value.shape[1] == wanted.shape[1]:
            window = _window(name, encoder)
            with warnings.catch_warnings(action="ignore"):  # of torch, about how timm interpolates
                tensors[name] = resize_rel_pos_bias_table(value, window, tuple(wanted.shape))
            extra = len(wanted) - (2 * window[0] - 1) * (2 * window[1] - 1)
            sizes.add(((side_of(len(value) - extra) + 1) // 2, window))
    changes += [f"positions resized from {old} x {old} to {new[0]} x {new[1]}" for old, new in sorted(sizes)]
    return tensors, changes


def _resized(positions: Tensor, encoder: Encoder, prefix: int) -> Tensor:
    """Positions of another grid for an encoder, by the rule of its family.

    timm's models as timm does (bicubic, smoothed), DINOv2 without registers as its release does: bicubic by a factor that is
    a tenth of a patch too large (dinov2/models/vision_transformer.py: interpolate_pos_encoding). All others as MAE.
    """
    if not isinstance(encoder, TimmViT):
        return resize_positions(positions, encoder.geometry.grid, prefix)
    side, (rows, columns) = side_of(positions.shape[1] - prefix), encoder.geometry.grid
    if not re.search(r"patch14_dinov2$", encoder.name):
        return resample_abs_pos_embed(positions, [rows, columns], [side, side], num_prefix_tokens=prefix)
    image = positions[:, prefix:].transpose(1, 2).unflatten(2, (side, side)).float()
    factor = ((rows + 0.1) / side, (columns + 0.1) / side)
    resized = interpolate(image, scale_factor=factor, mode="bicubic").flatten(2).transpose(1, 2)
    return torch.cat([positions[:, :prefix], resized.to(positions.dtype)], dim=1)


def resize_positions(positions: Tensor, grid: tuple[int, int], prefix: int = 1) -> Tensor:
    """Positions (1, R + L, D), prefix first, of a square grid -> of another grid (rows, columns)."""
    side = side_of(positions.shape[1] - prefix)
    return interpolate_positions(positions, (side, side), grid, prefix)


def side_of(count: int) -> int:
    """The side of a square of `count`.

    Raises:
        ValueError: where it is none.
    """
    side = round(count**0.5)
    if side * side != count:
        raise ValueError(
            f"positions of {count} patches, which is no square, cannot be carried to another grid; use the image size they had"
        )
    return side


def _window(name: str, encoder: Encoder) -> tuple[int, int]:
    """The window that a table of biases is for: the whole grid, or Swin's."""
    attention: Any = dict(encoder.named_modules())[name.rpartition(".")[0]]
    return attention.window_size
