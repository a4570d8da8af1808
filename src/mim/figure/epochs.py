"""Accuracy and loss over the epochs of several runs (AMT, arXiv 2211.15362, figure 5; SBAM, arXiv
2404.08327).
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mim.figure.runs import Run, Series
from mim.figure.style import DPI, TEXT, WIDTH, frame, is_accuracy, line_style, spoken, unit
from mim.figure.table import Drawn

HEADER = ("series", "metric", "epoch", "runs", "mean", "low", "high")


class Point(NamedTuple):
    """Runs of one series after one epoch, of which there is one for each seed."""

    mean: float
    low: float
    high: float
    runs: int


def column_of(run: Run, metric: str) -> dict[int, float]:
    """A number over epochs; as epoch 0 that of the untrained encoder, where the run has it."""
    return with_start(run.column(metric), run.metrics.get(f"{metric}_untrained"))


def with_start(column: Mapping[int, float], untrained: float | None) -> dict[int, float]:
    """A number over epochs, as epoch 0 that of the untrained encoder where it is known."""
    return dict(column) if untrained is None else {0: untrained, **column}


def curve_of(series: Series, metric: str) -> dict[int, Point]:
    """A number over the epochs that all runs of the series have.

    Raises:
        ValueError: where a run does not have it at all, or the runs have no epoch in common.
    """
    columns = [column_of(run, metric) for run in series.runs]
    epochs = sorted(set.intersection(*map(set, columns)))
    if not epochs:
        raise ValueError(
            f"the {len(columns)} runs of {series.name} have no epoch in common at which {metric} "
            "was measured"
        )
    found = {epoch: [column[epoch] for column in columns] for epoch in epochs}
    return {
        epoch: Point(fmean(values), min(values), max(values), len(values))
        for epoch, values in found.items()
    }


def epochs_figure(series: Sequence[Series], metrics: Sequence[str]) -> Drawn:
    """A panel each number, a line each series.

    Raises:
        ValueError: where a run does not have one of the numbers.
    """
    curves = {metric: [curve_of(one, metric) for one in series] for metric in metrics}
    rows = [
        (one.name, metric, epoch, point.runs, point.mean, point.low, point.high)
        for metric in metrics
        for one, curve in zip(series, curves[metric], strict=True)
        for epoch, point in curve.items()
    ]
    names = [one.name for one in series]
    count = sum(len(one.runs) for one in series)
    what = (
        f"{' and '.join(metrics)} over epochs of {count} run{'s' * (count > 1)}: {', '.join(names)}"
    )
    return Drawn(_draw(names, curves), HEADER, rows, what)


def _draw(names: Sequence[str], curves: dict[str, list[dict[int, Point]]]) -> Figure:
    figure = Figure(figsize=(WIDTH, 2.9), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False)
    for axis, (metric, lines) in zip(axes[0], curves.items(), strict=True):
        scale, label, _ = unit(metric)
        for i, (name, curve) in enumerate(zip(names, lines, strict=True)):
            style, epochs = line_style(i), list(curve)
            if len(epochs) > 25:
                style["markevery"] = -(-len(epochs) // 12)
            axis.plot(epochs, [scale * point.mean for point in curve.values()], label=name, **style)
            low = [scale * point.low for point in curve.values()]
            high = [scale * point.high for point in curve.values()]
            axis.fill_between(epochs, low, high, color=style["color"], alpha=0.15, linewidth=0)
        frame(
            axis,
            spoken(metric),
            "epoch (0: untrained)" if any(0 in curve for curve in lines) else "epoch",
            label,
        )
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axis.set_xlim(left=0)
        if not is_accuracy(metric) and all(
            point.low > 0 for curve in lines for point in curve.values()
        ):
            axis.set_ylim(bottom=0)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=min(4, len(names)),
        fontsize=TEXT,
        frameon=False,
    )
    return figure
