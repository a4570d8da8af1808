"""Attention statistics over the blocks of one or several models, as Beyond [cls] draws them (arXiv
2412.03215).
"""

import math
from collections.abc import Sequence
from textwrap import fill
from typing import Any, NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from mim.analysis.attention_stats import UpdateStatistics, head_statistics
from mim.analysis.lines import COLOURS, LINES, MARKERS, LineStyle

PANELS = (  # rows: of the cls token, of patches, of both; a column asks the same of each
    ("cls_to_cls", "[cls] to itself", "share of attention"),
    ("cls_to_cls_adjusted", "[cls] to itself, adjusted", "odds against patches"),
    ("cls_to_patch", "[cls] to a patch", "share of attention"),
    ("cls_entropy", "[cls] to patches", "entropy (nats)"),
    ("patch_to_self", "Patch to itself", "share of attention"),
    ("patch_to_self_adjusted", "Patch to itself, adjusted", "share among patches"),
    ("patch_to_cls", "Patch to [cls]", "share of attention"),
    ("patch_entropy", "Patch to patches", "entropy (nats)"),
    ("cls_update", "Attention output, [cls]", "norm / residual norm"),
    ("patch_update", "Attention output, patches", "norm / residual norm"),
    ("distance", "Mean attention distance", "pixels"),
)
UNIFORM: dict[str, Any] = {"color": "0.45", "linewidth": 0.7, "linestyle": (0, (1, 2)), "zorder": 0}
SMALL = 6.5  # points, of everything but titles


class Curves(NamedTuple):
    """Attention statistics of one model, block by block."""

    name: str
    grid: tuple[int, int]
    patch_size: tuple[int, int]
    statistics: dict[str, dict[str, list]]
    """As `AttentionPass.summary` tells them."""

    def of(self, statistic: str, what: str) -> list[float]:
        """A number for each block; distances in pixels."""
        return [self._unit(statistic) * value for value in self.statistics[statistic][what]]

    def uniform(self, statistic: str) -> float:
        """The number where every token attends to all tokens alike."""
        tokens = 1 + self.grid[0] * self.grid[1]
        same = head_statistics(torch.full((1, 1, tokens, tokens), 1 / tokens), self.grid)
        return self._unit(statistic) * same._asdict()[statistic].item()

    def _unit(self, statistic: str) -> float:
        """Pixels of a patch's side; of an oblong one, of a square as large."""
        return math.sqrt(self.patch_size[0] * self.patch_size[1]) if statistic == "distance" else 1


def curves(models: Sequence[Curves]) -> Figure:
    """One panel a statistic, one curve a model; a band is one deviation over heads, or over images
    where there are no heads.
    """
    figure = Figure(figsize=(7.2, 4.7), dpi=220, layout="constrained")
    axes = figure.subplots(3, 4, squeeze=False)
    for axis, (statistic, title, unit) in zip(axes.flat, PANELS, strict=False):
        for i, model in enumerate(models):
            _draw(axis, model, statistic, i)
        if statistic in UpdateStatistics._fields:
            _scale_by_decades(axis)
        else:
            for level in {model.uniform(statistic) for model in models}:
                axis.axhline(level, **UNIFORM)
        _label(axis, title, unit)
    for axis in axes[-1][:-1]:
        axis.set_xlabel("block", fontsize=SMALL)
    axes[-2][-1].set_xlabel("block", fontsize=SMALL)
    _explain(axes[-1][-1], models)
    return figure


def _draw(axis: Axes, model: Curves, statistic: str, i: int) -> None:
    mean = model.of(statistic, "mean")
    over = (
        "std_over_heads" if "std_over_heads" in model.statistics[statistic] else "std_over_images"
    )
    block, spread = range(1, len(mean) + 1), model.of(statistic, over)
    # above 0, as every statistic is
    low = [max(0.02 * m, m - s) for m, s in zip(mean, spread, strict=True)]
    high = [m + s for m, s in zip(mean, spread, strict=True)]
    axis.fill_between(block, low, high, color=_colour(i), alpha=0.13, linewidth=0)
    axis.plot(block, mean, **_style(i))


def _scale_by_decades(axis: Axes) -> None:
    axis.set_yscale("log")
    ticks = LogLocator(subs=(1, 2, 5), numticks=6)
    axis.yaxis.set(major_locator=ticks, minor_locator=NullLocator(), major_formatter="{x:g}")


def _label(axis: Axes, title: str, unit: str) -> None:
    axis.set_title(title, fontsize=SMALL + 0.5)
    axis.set_ylabel(unit, fontsize=SMALL)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    axis.tick_params(labelsize=SMALL, length=2)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", linewidth=0.3, color="0.9")


def _explain(axis: Axes, models: Sequence[Curves]) -> None:
    """The last panel holds the legend."""
    for i, model in enumerate(models):
        axis.plot([], [], label=fill(model.name, 24), **_style(i))
    band = "one deviation over heads\n(output: over images)"
    axis.fill_between([], [], color="0.5", alpha=0.25, linewidth=0, label=band)
    axis.plot([], [], label="uniform attention", **UNIFORM)
    axis.axis("off")
    axis.legend(
        loc="center",
        fontsize=SMALL,
        frameon=False,
        borderaxespad=0,
        handlelength=1.8,
        labelspacing=0.7,
    )


def _style(i: int) -> LineStyle:
    line, marker = LINES[i // len(COLOURS) % len(LINES)], MARKERS[i % len(MARKERS)]
    return {
        "color": _colour(i),
        "linestyle": line,
        "marker": marker,
        "markersize": 2.4,
        "linewidth": 1.1,
    }


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]
