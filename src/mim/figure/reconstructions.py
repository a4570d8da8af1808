"""One image under several mask seeds, as checkpoints reconstruct it, and where they disagree (EMAE,
arXiv 2302.14431, figure 1).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from mim.analysis.consistency import disagreement, stages
from mim.analysis.drawn_channels import as_colours, patches_as_colours
from mim.figure.images import batch_of, per_channel
from mim.figure.table import Drawn
from mim.masker.split import Split
from mim.model.masked_model import MaskedModel
from mim.ranges import Size
from mim.target.target import Paintable
from mim.tokens import patchify, take

HEADER = ("image", "checkpoint", "quantity", "seeds", "value")


class Made(NamedTuple):
    """What a model made of images under several masks."""

    pixels: Tensor
    """(B, S, Lm, P), of masked patches, in [0, 1] where it predicts well."""
    split: Split
    """Of the S masks, in place of parts: (B, S, ...)."""


@torch.no_grad()
def reconstruct(
    model: MaskedModel,
    painter: Paintable,
    image: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    seeds: Sequence[int],
) -> Made:
    """Mask images (B, C, H, W) in [0, 1] by each seed, and predict.

    Args:
        model: an MAE or a SimMIM in eval mode, whose masker makes one part.
        painter: the target that shows its predictions as pixels.
        image: what it is shown.
        mean, std: that it was trained with.
        seeds: of the masks.
    """
    pixels, splits = [], []
    for seed in seeds:
        batch = batch_of(image, mean, std, seed)
        made = model(batch)
        # (B, 1, Lm, P), normalised
        shown = painter.to_pixels(made.prediction.float(), batch.image, made.split.masked)
        channels = shown.unflatten(-1, (-1, len(mean)))
        pixels.append(
            (channels * per_channel(std).flatten() + per_channel(mean).flatten()).flatten(-2)
        )
        splits.append(made.split)
    visible, masked = (
        torch.cat([split.visible for split in splits], 1),
        torch.cat([split.masked for split in splits], 1),
    )
    return Made(torch.cat(pixels, 1), Split(visible=visible, masked=masked))


def reconstructions_figure(
    image: Tensor,
    names: Sequence[str],
    made: Mapping[str, Made],
    seeds: Sequence[int],
    patch_size: Size,
) -> Drawn:
    """For each image a row of what is visible under each seed, and a row a checkpoint of what it
    predicted, with what it saw.

    Predictions of standardised patches are shown with each patch's own mean and deviation put back,
    which the model was not shown: where patches disagree, it is in what they depict and not in how
    bright they are.

    Args:
        image: (B, C, H, W) in [0, 1].
        names: of the images.
        made: by checkpoint, all under the same masks.
        seeds: of the masks.
        patch_size: pixels per side of a patch, or (height, width).

    Raises:
        ValueError: where there is one seed only.
    """
    if len(set(seeds)) != len(seeds) or len(seeds) < 2:
        raise ValueError(
            f"--seeds={' '.join(map(str, seeds))}: needs two different ones at least, e.g. --seeds "
            "0 1 2"
        )
    split = next(iter(made.values())).split
    shown = {name: each.pixels.clamp(0, 1) for name, each in made.items()}
    colours = {name: patches_as_colours(pixels, image.shape[1]) for name, pixels in shown.items()}
    figure = stages(as_colours(image), colours, split, patch_size, kind="seed", numbers=seeds)
    rows = [
        row
        for name, pixels in shown.items()
        for row in _numbers(image, names, name, pixels, split, seeds, patch_size)
    ]
    masked, L = split.masked.shape[2], patchify(image, patch_size).shape[1]
    what = (
        f"reconstructions of {len(image)} image(s), {masked} of {L} patches masked at random, "
        "under seeds "
        f"{', '.join(map(str, seeds))}: {', '.join(made)}"
    )
    return Drawn(figure, HEADER, rows, what)


def _numbers(
    image: Tensor,
    names: Sequence[str],
    name: str,
    pixels: Tensor,
    split: Split,
    seeds: Sequence[int],
    patch_size: Size,
) -> list[tuple[str, str, str, str, float]]:
    """Mean absolute error of each seed, disagreement of each pair, and of all pairs together, by
    image; of a range of 1.
    """
    patches = patchify(image, patch_size)
    error = (pixels - take(patches, split.masked)).abs().mean((2, 3))  # (B, S)
    rows = []
    for b, picture in enumerate(names):
        for s, seed in enumerate(seeds):
            rows.append((picture, name, "error", str(seed), error[b, s].item()))
        several = (
            [*combinations(range(len(seeds)), 2), tuple(range(len(seeds)))]
            if len(seeds) > 2
            else [(0, 1)]
        )
        for some in several:
            chosen = list(some)
            part = Split(split.visible[b : b + 1, chosen], split.masked[b : b + 1, chosen])
            apart = disagreement(pixels[b : b + 1, chosen], part, patches.shape[1]).nanmean().item()
            rows.append(
                (picture, name, "disagreement", " ".join(str(seeds[s]) for s in chosen), apart)
            )
    return rows
