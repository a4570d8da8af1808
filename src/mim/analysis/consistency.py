"""One image as each of its parts reconstructs it, and where they disagree (EMAE, arXiv 2302.14431,
figures 1 and 3).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from mim.analysis.pictures import panels
from mim.geometry import grid_of
from mim.masker.split import Split
from mim.ranges import Size

# the disagreement that is drawn brightest on a sheet: fixed, so that sheets can be compared
STRONG = 0.25


def disagreement(predicted: Tensor, split: Split, patches: int) -> Tensor:
    """Mean absolute difference over pairs of parts that both predict a patch: (B, K, Lm, P) -> (B,
    L), NaN without a pair.
    """
    B, K, _, P = predicted.shape
    index = (
        split.masked
        if split.masked_valid is None
        else split.masked.where(split.masked_valid, patches)
    )
    there = predicted.new_full((B, K, patches + 1, P), float("nan"))
    there = there.scatter(2, index[..., None].expand_as(predicted), predicted)[:, :, :patches]
    # NaN where one is missing
    pairs = [(there[:, i] - there[:, j]).abs().mean(-1) for i, j in combinations(range(K), 2)]
    return torch.stack(pairs).nanmean(0)


def sheet(
    image: Tensor, predicted: Tensor, split: Split, patch_size: Size, title: str = ""
) -> Figure:
    """What each part saw and what it made of that: (B, 3, H, W), (B, K, Lm, P), both in [0, 1], and
    the split.
    """
    drawn = stages(image, {"": predicted}, split, patch_size, STRONG)
    if title:
        drawn.suptitle(title, fontsize=8)
    return drawn


def stages(
    image: Tensor,
    predicted: Mapping[str, Tensor],
    split: Split,
    patch_size: Size,
    strong: float | None = None,
    kind: str = "part",
    numbers: Sequence[int] | None = None,
) -> Figure:
    """For each image what its parts saw and, in a row for each stage of training, what they made of
    it and where they disagree.

    Args:
        image: (B, 3, H, W) in [0, 1].
        predicted: by name of the stage, pixels of masked patches (B, K, Lm, P), in [0, 1].
        split: where they stand, the same in all stages.
        patch_size: pixels per side of a patch, or (height, width).
        strong: the disagreement that is drawn brightest; null for the strongest in the figure.
        kind: what a part is called.
        numbers: of the K parts; null to count them from 1.

    Raises:
        ValueError: where there is one part only.
    """
    B, K = split.masked.shape[:2]
    if K < 2:
        raise ValueError(
            "a picture of consistency shows several parts of each image; use "
            "masker/partition=parallel_parts"
        )
    height, width = image.shape[2:]
    grid = grid_of((height, width), patch_size)
    apart = torch.stack(
        [disagreement(pixels, split, grid[0] * grid[1]) for pixels in predicted.values()]
    )
    scale = Normalize(0, strong or max(apart.nan_to_num().max().item(), 1e-6))

    names = [f"{kind} {number}" for number in numbers or range(1, K + 1)]
    # axes (B, 1 + stages, 1 + K + 1)
    figure, axes = _cells(len(predicted), B, names, width / height)
    for b in range(B):
        _show(axes[b, 0, 0], image[b])
        for row, name in enumerate(predicted, start=1):
            axes[b, row, 0].text(1, 0.5, name, ha="right", va="center", fontsize=8)
            heat = apart[row - 1, b].view(grid).float().cpu()
            axes[b, row, -1].imshow(heat.numpy(), cmap="magma", norm=scale, interpolation="nearest")
            axes[b, row, -1].text(
                1.06, 0.5, f"{heat.nanmean():.3f}", transform=axes[b, row, -1].transAxes, fontsize=7
            )
    for i in range(K):
        made = [
            panels(image, pixels[:, i], split.part(i), patch_size) for pixels in predicted.values()
        ]
        for b in range(B):
            for axis, picture in zip(
                axes[b, :, i + 1],
                [made[0]["masked"], *(m["with visible"] for m in made)],
                strict=True,
            ):
                _show(axis, picture[b])
    bar = figure.colorbar(
        ScalarMappable(scale, colormaps["magma"]),
        ax=axes.flatten().tolist(),
        location="bottom",
        shrink=0.4,
        aspect=30,
        pad=0.02,
        extend="max" if strong else "neither",
    )
    bar.set_label(
        f"mean |difference| of two {kind}s, of a range of 1; beside each map its mean", fontsize=7
    )
    bar.ax.tick_params(labelsize=7)
    return figure


def _cells(
    stages: int, images: int, parts: Sequence[str], aspect: float
) -> tuple[Figure, np.ndarray]:
    """An empty figure, its columns named, and its axes (images, 1 + stages, 1 + parts + 1)."""
    rows, columns = images * (1 + stages), len(parts) + 2
    figure = Figure(
        figsize=(1.1 * columns * aspect + 0.4, 1.1 * rows + 0.8), dpi=200, layout="compressed"
    )
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, name in zip(axes[0], ["image", *parts], strict=False):
        axis.set_title(name, fontsize=8)
    axes[0, -1].text(0.5, 0, "disagreement", ha="center", va="bottom", fontsize=8)
    return figure, axes.reshape(images, 1 + stages, columns)


def _show(axis: Axes, picture: Tensor) -> None:
    """(3, H, W) in [0, 1]."""
    axis.imshow(picture.permute(1, 2, 0).clamp(0, 1).float().cpu().numpy(), interpolation="nearest")
