"""Reconstructions of a user's own pictures, under any masker."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mim.analysis.drawn_channels import as_colours, patches_as_colours
from mim.analysis.pictures import panels
from mim.batch import Batch
from mim.door.preprocess import Preprocess
from mim.encoder.encoder import Encoder, attending, cls_attention
from mim.masker.any_masker import AnyMasker
from mim.masker.attention_store import AttentionStore, attention_weights
from mim.masker.scheduled import Scheduled
from mim.model.masked_model import MaskedModel
from mim.target.target import Paintable


@torch.no_grad()
def reconstruct(
    model: MaskedModel,
    painter: Paintable,
    image: Tensor,
    preprocess: Preprocess,
    seeds: Sequence[int],
    channels: Sequence[int] | None = None,
) -> Mapping[str, Tensor]:
    """One image under several masks: image, what is visible, what is predicted, and both together.

    Args:
        model: an MAE or a SimMIM in eval mode, on the CPU.
        painter: the target that shows its predictions as pixels.
        image: (1, C, H, W), normalised.
        preprocess: how it was normalised.
        seeds: of the masks, S of them.
        channels: that are drawn: see `drawn_channels`.

    Returns:
        By kind, (S * K, 3, H, W) in [0, 1]: the K parts of each mask are beside each other.
    """
    std, mean = (
        torch.tensor(values).view(-1, 1, 1)
        for values in (preprocess.images.std, preprocess.images.mean)
    )
    height, width = painter.geometry.patch_size
    show_attention(model.masker, model.encoder, image)
    rows: dict[str, list[Tensor]] = {}
    for seed in seeds:
        made = model(Batch.of(image, seed))
        # (1, K, Lm, P), normalised
        shown = painter.to_pixels(made.prediction.float(), image, made.split.masked)
        scale, shift = (values.flatten().repeat(height * width) for values in (std, mean))
        pixels = patches_as_colours((shown * scale + shift).clamp(0, 1), image.shape[1], channels)
        for part in range(pixels.shape[1]):
            whole = as_colours((image * std + mean).clamp(0, 1), channels)
            for name, row in panels(
                whole, pixels[:, part], made.split.part(part), painter.geometry.patch_size
            ).items():
                rows.setdefault(name, []).append(row)
    return {name: torch.cat(each) for name, each in rows.items()}


@torch.no_grad()
def show_attention(masker: AnyMasker, encoder: Encoder, image: Tensor) -> None:
    """Give a masker what a run would have looked up: where the encoder looks in images (B, 3, H,
    W); and end its start-up.

    Raises:
        ValueError: where it asks for attention, and the encoder has no cls token that attends to
            all patches.
    """
    masker.train()  # the images are those that the stores are filled with
    for part in masker.modules():
        if isinstance(part, Scheduled):
            part.begin_epoch(part.at_epoch)
        elif isinstance(part, AttentionStore):
            looked = cls_attention(
                attending(encoder, "which this masker goes by; take masker=random, sbam"), image
            )
            part.maps = (
                attention_weights(looked, part.heads).unflatten(1, encoder.geometry.grid).half()
            )
