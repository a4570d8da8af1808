"""What the cls token attends to, of several checkpoints side by side or head by head (AMT, arXiv
2211.15362, figures 1, 2, 4).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from mim.analysis.drawn_channels import as_colours
from mim.analysis.gallery import show_heat, show_image
from mim.encoder.encoder import Encoder, attending, cls_attention
from mim.figure.cells import cells, two_lines
from mim.figure.style import TEXT
from mim.figure.table import Drawn

HEADER = ("image", "checkpoint", "block", "head", "row", "column", "attention")
CLIPPED = 0.995  # of all values that are drawn: the few above it would leave the rest dark


class Maps(NamedTuple):
    """What the cls token of one checkpoint's block gives to the patches of some images."""

    name: str
    block: int
    """Counted from 1."""
    grid: tuple[int, int]
    share: Tensor
    """(B, A, L): shares of the token's attention, which with that of prefix tokens sum to one."""
    prefix: int = 1
    """R, tokens before the patches."""


@torch.no_grad()
def attention_maps(encoder: Encoder, image: Tensor, name: str, block: int | None = None) -> Maps:
    """Run an encoder on whole, normalised images (B, C, H, W) and look at one of its blocks.

    Args:
        encoder: a ViT or a Beit, in eval mode.
        image: what it is shown.
        name: of the checkpoint.
        block: counted from 1; None for the last.

    Raises:
        ValueError: where the encoder has no such block, or no cls token that attends to all
            patches.
    """
    known = attending(encoder, "which is what is drawn; give a checkpoint of a ViT or a Beit")
    number = known.depth if block is None else block
    if not 1 <= number <= known.depth:
        raise ValueError(f"--block={block}: {name} has blocks 1 to {known.depth}")
    return Maps(
        name, number, known.geometry.grid, cls_attention(known, image, number), known.prefix
    )


def attention_figure(
    image: Tensor, names: Sequence[str], maps: Sequence[Maps], each_head: bool
) -> Drawn:
    """Rows are images; columns are checkpoints, or the heads of each, a row a checkpoint.

    Values are drawn in multiples of what a patch would get if all tokens got the same, on one scale
    for the whole figure.

    Args:
        image: (B, C, H, W) in [0, 1].
        names: of the images.
        maps: of each checkpoint.
        each_head: draw every head beside their mean; otherwise the mean alone.
    """
    rows = [
        (names[b], each.name, each.block, head, i // each.grid[1], i % each.grid[1], value)
        for b in range(len(image))
        for each in maps
        for head, share in _heads(each, b, each_head).items()
        for i, value in enumerate(share.tolist())
    ]
    heads = " and each head" if each_head else ""
    blocks = ", ".join(f"{each.name} (block {each.block})" for each in maps)
    what = f"attention of the cls token, mean over heads{heads}, to {len(image)} image(s): {blocks}"
    return Drawn(
        _draw_heads(as_colours(image), maps) if each_head else _draw_means(as_colours(image), maps),
        HEADER,
        rows,
        what,
    )


def _heads(maps: Maps, image: int, each_head: bool) -> dict[str, Tensor]:
    """What is drawn of one image, (L,) each: the mean over heads, and each head by its number from
    1.
    """
    share = maps.share[image]
    return {"mean": share.mean(0)} | (
        {str(a + 1): head for a, head in enumerate(share)} if each_head else {}
    )


def _times_uniform(share: Tensor, maps: Maps) -> Tensor:
    """Shares (L,) -> (rows, columns), 1 where a patch gets what every token would get if all got
    the same.
    """
    return (share * (maps.prefix + len(share))).view(maps.grid).float().cpu()


def _strongest(maps: Sequence[Maps], each_head: bool) -> float:
    """Share of attention, over that of uniform attention, that is drawn brightest."""
    drawn = [
        _times_uniform(share, each).flatten()
        for each in maps
        for b in range(len(each.share))
        for share in _heads(each, b, each_head).values()
    ]
    return max(torch.cat(drawn).quantile(CLIPPED).item(), 1.0)


def _draw_means(image: Tensor, maps: Sequence[Maps]) -> Figure:
    figure, axes = cells(len(image), 1 + len(maps), image)
    strong = _strongest(maps, each_head=False)
    for title, axis in zip(["image", *(each.name for each in maps)], axes[0], strict=True):
        axis.set_title(two_lines(title), fontsize=TEXT, pad=3)
    for b, line in enumerate(axes):
        show_image(line[0], image[b])
        for axis, each in zip(line[1:], maps, strict=True):
            _show(axis, image[b], each.share[b].mean(0), each, strong)
    _bar(figure, axes, strong, maps)
    return figure


def _draw_heads(image: Tensor, maps: Sequence[Maps]) -> Figure:
    most = max(each.share.shape[1] for each in maps)
    figure, axes = cells(len(image) * len(maps), 2 + most, image)
    strong = _strongest(maps, each_head=True)
    for title, axis in zip(
        ["image", "mean", *(f"head {a + 1}" for a in range(most))], axes[0], strict=True
    ):
        axis.set_title(title if most < 9 else title.removeprefix("head "), fontsize=TEXT, pad=3)
    for row, line in enumerate(axes):
        b, each = row // len(maps), maps[row % len(maps)]
        if len(maps) > 1:
            line[0].set_ylabel(
                two_lines(each.name), fontsize=TEXT, rotation=0, ha="right", va="center"
            )
        if row % len(maps) == 0:
            show_image(line[0], image[b])
        for axis, share in zip(line[1:], _heads(each, b, True).values(), strict=False):
            _show(axis, image[b], share, each, strong)
    _bar(figure, axes, strong, maps)
    return figure


def _show(axis: Axes, picture: Tensor, share: Tensor, maps: Maps, strong: float) -> None:
    show_heat(axis, picture, (_times_uniform(share, maps) / strong).clamp(0, 1))


def _bar(figure: Figure, axes: np.ndarray, strong: float, maps: Sequence[Maps]) -> None:
    blocks = ", ".join(str(block) for block in sorted({each.block for each in maps}))
    scale = ScalarMappable(Normalize(0, strong), colormaps["magma"])
    bar = figure.colorbar(
        scale,
        ax=axes.flatten().tolist(),
        location="bottom",
        shrink=0.5,
        aspect=35,
        pad=0.015,
        extend="max",
        alpha=0.85,
    )
    bar.set_label(
        f"attention of the cls token in block {blocks}, in multiples of uniform attention",
        fontsize=TEXT,
    )
    bar.ax.tick_params(labelsize=TEXT, length=2)
