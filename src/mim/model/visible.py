"""Where a forward pass begins: some patches are hidden, and the others are embedded."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mim.batch import Batch
from mim.encoder.encoder import Encoder
from mim.geometry import grid_of
from mim.masker.any_masker import AnyMasker
from mim.masker.split import Split
from mim.model.packing import pack
from mim.tokens import take


def as_batch(images: Batch | Tensor) -> Batch:
    """A batch as it is, or one of whole, normalised images (B, C, H, W)."""
    return images if isinstance(images, Batch) else Batch.of(images)


def embed_visible(encoder: Encoder, masker: AnyMasker, batch: Batch) -> tuple[Tensor, Split]:
    """Images (B, C, H, W) -> tokens of the visible patches (B, K, Lv, D), and what is visible and
    what is masked.

    Masked patches are embedded only for a masker that looks at tokens, and never for the network.
    """
    split = split_of(encoder, masker, batch)
    return encoder.embed(batch.image, split.visible), split


class InPlace(NamedTuple):
    """Tokens of masked and visible patches of a split, masked ones first."""

    tokens: Tensor
    """(B * K, Lm + Lv, D); a masked patch is a mask token at its position."""
    patches: Tensor
    """Numbers of the patches that they are of, (B * K, Lm + Lv)."""
    valid: Tensor | None
    """Which are none of padding (B * K, Lm + Lv); None for all."""


def embed_in_place(encoder: Encoder, mask_token: Tensor, image: Tensor, split: Split) -> InPlace:
    """Images (B, C, H, W) -> tokens of visible patches, and mask tokens in place of the others.

    Of padding, what no image needs is left out.
    """
    visible = encoder.embed(image, split.visible)
    masked = encoder.position_token(mask_token, split.masked).to(visible.dtype)
    tokens = torch.cat([masked, visible], dim=2).flatten(0, 1)
    index, valid = torch.cat([split.masked, split.visible], dim=2).flatten(0, 1), split.valid()
    if valid is not None:  # masked tokens come first and stay where they are
        order, valid = pack(valid.flatten(0, 1), most=encoder.geometry.patches)
        tokens, index = take(tokens, order[:, None])[:, 0], index.gather(1, order)
    return InPlace(tokens, index, valid)


def encode_visible(
    encoder: Encoder, masker: AnyMasker, batch: Batch, blocks: Sequence[int] | None = None
) -> tuple[Tensor, Split]:
    """Images (B, C, H, W) -> encoded tokens of the visible patches (B * K, R + Lv, D), and the
    split.

    What all parts share is encoded once. With numbers of `blocks`, what leaves each of those,
    (blocks, B * K, R + Lv, D).
    """
    split = split_of(encoder, masker, batch)
    visible, valid = split.context
    tokens = encoder.embed(batch.image, visible).flatten(0, 1)
    index, valid = visible.flatten(0, 1), None if valid is None else valid.flatten(0, 1)
    if blocks is None:
        latent = encoder.encode(tokens, index, valid)
    else:
        latent = torch.stack(encoder.encode_blocks(tokens, blocks, index, valid))
    return latent.repeat_interleave(split.masked.shape[1], -3) if split.shared else latent, split


def split_of(encoder: Encoder, masker: AnyMasker, batch: Batch) -> Split:
    """What a masker makes visible and what it masks, given embeddings of all patches if it looks at
    them.
    """
    tokens = embed_for_score(encoder, batch.image) if masker.needs_tokens else None
    return masker(batch, grid_in(encoder, batch.image), tokens)


def grid_in(encoder: Encoder, image: Tensor) -> tuple[int, int]:
    """Rows and columns of patches in images (B, C, H, W), also of another size."""
    geometry, (height, width) = encoder.geometry, image.shape[-2:]
    if (height, width) == geometry.image_size:
        return geometry.grid
    return grid_of((height, width), geometry.patch_size)


@torch.no_grad()
def embed_for_score(encoder: Encoder, image: Tensor) -> Tensor:
    """Tokens of all patches in the precision of the weights, whatever the autocast: (B, C, H, W) ->
    (B, L, D).

    Tokens of bf16 move salience by 1e-2. To embed the visible patches again costs less than the
    gradient of an embedding of all. Where FSDP gathers weights in bf16, these are tokens of bf16
    nevertheless.
    """
    with torch.autocast(image.device.type, enabled=False):
        return encoder.embed(image.to(next(encoder.parameters()).dtype))
