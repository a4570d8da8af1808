"""One image as each of its parts reconstructs it, and where they disagree (EMAE, arXiv 2302.14431, figures 1 and 3)."""

from itertools import combinations
from typing import Any

import torch
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from mim.analysis.pictures import panels
from mim.masker.split import Split

STRONG = 0.25  # the disagreement that is drawn brightest: fixed, so that sheets can be compared


def disagreement(predicted: Tensor, split: Split, patches: int) -> Tensor:
    """Mean absolute difference over pairs of parts that both predict a patch: (B, K, Lm, P) -> (B, L), NaN without a pair."""
    B, K, _, P = predicted.shape
    index = split.masked if split.masked_valid is None else split.masked.where(split.masked_valid, patches)
    there = predicted.new_full((B, K, patches + 1, P), float("nan"))
    there = there.scatter(2, index[..., None].expand_as(predicted), predicted)[:, :, :patches]
    pairs = [
        (there[:, i] - there[:, j]).abs().mean(-1) for i, j in combinations(range(K), 2)
    ]  # NaN where one is missing
    return torch.stack(pairs).nanmean(0)


def sheet(image: Tensor, predicted: Tensor, split: Split, patch_size: int, title: str = "") -> Figure:
    """Two rows an image: what each part saw, and what it made of that; last, their mean disagreement.

    Args:
        image: (B, 3, H, W) in [0, 1].
        predicted: pixels of masked patches (B, K, Lm, P), in [0, 1].
        split: where they stand.
        patch_size: pixels per side of a patch.
        title: above all.

    Raises:
        ValueError: where there is one part only.
    """
    B, K = split.masked.shape[:2]
    if K < 2:
        raise ValueError(
            "a picture of consistency shows several parts of each image; use masker/partition=parallel_parts"
        )
    height, width = image.shape[2:]
    rows, columns = height // patch_size, width // patch_size
    apart = disagreement(predicted, split, rows * columns)
    parts = [panels(image, predicted[:, i], _part(split, i), patch_size) for i in range(K)]

    figure = Figure(figsize=(1.1 * (K + 2) * width / height + 0.7, 2.2 * B + 0.6), dpi=160, layout="compressed")
    axes: Any = figure.subplots(2 * B, K + 2, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for b, (saw, made) in enumerate(zip(axes[::2], axes[1::2], strict=True)):
        _show(made[0], image[b])
        for i, part in enumerate(parts):
            _show(saw[i + 1], part["masked"][b])
            _show(made[i + 1], part["with visible"][b])
        heat = apart[b].view(1, rows, columns).repeat_interleave(patch_size, 1).repeat_interleave(patch_size, 2)
        made[-1].imshow(heat[0].float().cpu().numpy(), cmap="magma", vmin=0, vmax=STRONG, interpolation="nearest")
        made[-1].set_xlabel(f"mean {apart[b].nanmean():.3f}", fontsize=7)
    for axis, name in zip(axes[0], ["", *(f"part {i + 1}" for i in range(K)), ""], strict=True):
        axis.set_title(name, fontsize=8)
    axes[1][0].set_title("image", fontsize=8)
    axes[1][-1].set_title("disagreement", fontsize=8)
    bar = figure.colorbar(ScalarMappable(Normalize(0, STRONG), colormaps["magma"]), ax=axes, shrink=0.4, extend="max")
    bar.set_label("mean |difference| of two parts, of a range of 1", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    if title:
        figure.suptitle(title, fontsize=8)
    return figure


def _part(split: Split, part: int) -> Split:
    fields: Any = (None if field is None else field[:, part : part + 1] for field in split)
    return Split(*fields)


def _show(axis: Any, picture: Tensor) -> None:
    """(3, H, W) in [0, 1]."""
    axis.imshow(picture.permute(1, 2, 0).clamp(0, 1).float().cpu().numpy(), interpolation="nearest")
