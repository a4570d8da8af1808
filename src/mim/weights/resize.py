"""Carry what an encoder knows about positions to another grid: embeddings and tables of relative
biases.
"""

import re
import warnings
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from timm.layers import (
    resample_abs_pos_embed,
    resample_patch_embed,
    resize_rel_pos_bias_table,
)
from timm.models import adapt_input_conv
from torch import Tensor
from torch.nn.functional import interpolate

from mim.encoder.encoder import Encoder
from mim.encoder.timm_vit import TimmViT
from mim.geometry import PatchResize, by

SAY_SIZE = (
    "put it into the file once: python -m mim convert <file> <out>.safetensors --to safetensors "
    "--image-size <height>x<width>"
)
_SHARED = "rel_pos_bias.relative_position_bias_table"
_TABLE = "relative_position_bias_table"
_STEM = "patch_embed.proj.weight"


def resize_encoder(
    tensors: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    encoder: Encoder,
    old: tuple[int, int] | None = None,
    patches: PatchResize | None = None,
) -> tuple[dict[str, Tensor], list[str]]:
    """An encoder's tensors, by name -> those that fit the encoder whose tensors are `own`, and what
    was changed.

    Position embeddings are interpolated (bicubic, as MAE does), tables of biases too (as BEiT
    does), and one table for all blocks becomes one for each where the encoder wants that (as SimMIM
    does to fine-tune); beside embeddings of positions, tables that are not there begin at zero (as
    CAE's do). The first layer is carried from three channels to another number as timm does it.
    `old` is the grid that the tensors are of; None for a square. `patches` says how the first layer
    is carried to patches of another size; None leaves it.
    """
    tensors = dict(tensors)
    changes = []
    if _SHARED in tensors and _SHARED not in own:
        blocks = [name for name in own if re.fullmatch(rf"blocks\.\d+\.attn\.{_TABLE}", name)]
        if blocks:
            shared = tensors.pop(_SHARED)
            tensors.update(dict.fromkeys(blocks, shared))
            changes.append("the shared bias copied to every block")
    elif (
        "pos_embed" in tensors
        and "pos_embed" in own
        and not any(name.endswith(_TABLE) for name in tensors)
    ):
        new = {
            name: torch.zeros_like(value) for name, value in own.items() if name.endswith(_TABLE)
        }
        tensors.update(new)
        changes += [f"{len(new)} tables of biases at zero"] if new else []
    if _STEM in tensors and _STEM in own:
        tensors[_STEM], said = carry_channels(tensors[_STEM], own[_STEM].shape[1])
        changes += said
        tensors[_STEM], said = resize_patches(tensors[_STEM], own[_STEM], patches)
        changes += said
    sizes: set[tuple[tuple[int, int], tuple[int, int]]] = set()
    grid = encoder.geometry.grid
    for name in tensors.keys() & own.keys():
        value, wanted = tensors[name], own[name]
        if value.shape == wanted.shape:
            continue
        if name == "pos_embed" and value.shape[-1] == wanted.shape[-1]:
            prefix = encoder.positions_of_prefix if isinstance(encoder, TimmViT) else encoder.prefix
            tensors[name] = _resized(value, encoder, prefix, old)
            sizes.add((old_grid(value.shape[1] - prefix, old), grid))
        elif name.endswith(_TABLE) and value.shape[1] == wanted.shape[1]:
            window = _window(name, encoder)
            with warnings.catch_warnings(action="ignore"):  # of torch, about how timm interpolates
                tensors[name] = resize_rel_pos_bias_table(value, window, tuple(wanted.shape))
            extra = len(wanted) - (2 * window[0] - 1) * (2 * window[1] - 1)
            side = (side_of(len(value) - extra) + 1) // 2
            sizes.add(((side, side), window))
    guessed = "pos_embed" in tensors and old is None and grid[0] != grid[1]
    how = f" (taken for a square; if they are oblong, {SAY_SIZE})" if guessed else ""
    changes += [
        f"positions resized from {by(before)} to {by(after)}{how}"
        for before, after in sorted(sizes)
    ]
    return tensors, changes


def _resized(
    positions: Tensor, encoder: Encoder, prefix: int, old: tuple[int, int] | None
) -> Tensor:
    """Positions of another grid for an encoder, by the rule of its family.

    timm's models as timm does (bicubic, smoothed), DINOv2 without registers as its release does:
    bicubic by a factor that is a tenth of a patch too large (dinov2/models/vision_transformer.py:
    interpolate_pos_encoding). All others as MAE.
    """
    if not isinstance(encoder, TimmViT):
        return resize_positions(positions, encoder.geometry.grid, prefix, old)
    before, (rows, columns) = old_grid(positions.shape[1] - prefix, old), encoder.geometry.grid
    if not re.search(r"patch14_dinov2$", encoder.name):
        return resample_abs_pos_embed(
            positions, [rows, columns], list(before), num_prefix_tokens=prefix
        )
    image = positions[:, prefix:].transpose(1, 2).unflatten(2, before).float()
    factor = ((rows + 0.1) / before[0], (columns + 0.1) / before[1])
    resized = interpolate(image, scale_factor=factor, mode="bicubic").flatten(2).transpose(1, 2)
    return torch.cat([positions[:, :prefix], resized.to(positions.dtype)], dim=1)


def carry_channels(stem: Tensor, channels: int) -> tuple[Tensor, list[str]]:
    """First layer (D, 3, h, w) -> (D, channels, h, w), by timm's rule (timm/models/_manipulate.py:
    adapt_input_conv).

    Of one channel the three are summed; of others they are repeated and scaled by 3 / channels, so
    that what comes out is as large as before. Weights of other than three channels stay as they
    are.
    """
    if stem.ndim != 4 or stem.shape[1] != 3 or channels == 3:
        return stem, []
    how = "summed" if channels == 1 else f"repeated, times 3/{channels}"
    changed: Tensor = adapt_input_conv(channels, stem)
    return changed, [f"first layer from 3 channels to {channels} ({how})"]


def resize_patches(stem: Tensor, own: Tensor, how: PatchResize | None) -> tuple[Tensor, list[str]]:
    """First layer (D, C, h, w) for patches of the size that `own` has, and what was changed.

    `bicubic` interpolates the filters as images, as EVA's release does (interpolate_patch_14to16.py
    of baaivision/EVA); sums over a larger patch are larger. `pseudo_inverse` takes the filters that
    give a patch which was resized the token that it had (FlexiViT, arXiv 2212.08013, equation 4;
    timm's resample_patch_embed). None, and a stem that is no convolution, leaves it as it is.
    """
    size = (own.shape[-2], own.shape[-1])
    if how is None or stem.ndim != 4 or tuple(stem.shape[-2:]) == size:
        return stem, []
    changed: Tensor = (
        interpolate(stem.float(), size=size, mode="bicubic", align_corners=False)
        if how == "bicubic"
        else resample_patch_embed(stem.float(), list(size))
    )
    said = f"first layer from patches of {by(stem.shape[-2:])} to {by(size)} ({how})"
    return changed.to(stem.dtype), [said]


def old_grid(count: int, known: tuple[int, int] | None) -> tuple[int, int]:
    """Rows and columns of `count` patches: those that are known, else a square.

    Raises:
        ValueError: where it is none.
    """
    if known is not None and known[0] * known[1] == count:
        return known
    return side_of(count), side_of(count)


def resize_positions(
    positions: Tensor, grid: tuple[int, int], prefix: int = 1, old: tuple[int, int] | None = None
) -> Tensor:
    """Positions (1, R + L, D), prefix first, of an old grid (None: a square) -> of another grid
    (rows, columns).
    """
    return interpolate_positions(
        positions, old_grid(positions.shape[1] - prefix, old), grid, prefix
    )


def side_of(count: int) -> int:
    """The side of a square of `count`.

    Raises:
        ValueError: where it is none.
    """
    side = round(count**0.5)
    if side * side != count:
        raise ValueError(
            f"positions of {count} patches, which is no square, cannot be carried to another grid; "
            f"use the image size they had, or {SAY_SIZE}"
        )
    return side


@runtime_checkable
class _Windowed(Protocol):
    window_size: tuple[int, int]


def _window(name: str, encoder: Encoder) -> tuple[int, int]:
    """The window that a table of biases is for: the whole grid, or Swin's."""
    attention = dict(encoder.named_modules())[name.rpartition(".")[0]]
    assert isinstance(attention, _Windowed)
    return attention.window_size


def interpolate_positions(
    positions: Tensor, old: tuple[int, int], new: tuple[int, int], prefix: int = 1
) -> Tensor:
    """Positions of an old grid (1, R + L, D), prefix first -> those of a new one: bicubic, the
    prefix as it was.

    Grids are (rows, columns).
    """
    if old == new:
        return positions
    first, patches = positions[:, :prefix], positions[:, prefix:]
    image = patches.transpose(1, 2).unflatten(2, old)  # (1, D, rows, columns)
    patches = (
        interpolate(image, size=new, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    )
    return torch.cat([first, patches], dim=1)
