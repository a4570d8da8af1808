"""Accuracy over the masking ratio, with PIMR and Global PIMR (SBAM, arXiv 2404.08327, the figure of
its robustness).

Of the two numbers it is known only that they measure how much performance improves from the lowest
masking ratio to a higher one. Defined here, and written beside the figure:

    PIMR(r)     = accuracy(r) - accuracy(lowest ratio), of one method
    Global PIMR = the mean of PIMR(r) over all ratios r above the lowest

The lowest ratio and those of the mean are ratios that all methods were run at, so that their
numbers can be compared.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from matplotlib.figure import Figure

from mim.figure.runs import Series
from mim.figure.style import DPI, TEXT, WIDTH, frame, is_accuracy, line_style, spoken, unit
from mim.figure.table import Drawn

HEADER = ("series", "ratio", "runs", "mean", "low", "high", "pimr", "global_pimr")
DEFINITION = "PIMR(r) = {what}(r) − {what}({lowest:g}); Global PIMR = its mean over r = {higher}"


class Point(NamedTuple):
    """Runs of one series at one ratio, of which there is one for each seed."""

    mean: float
    low: float
    high: float
    runs: int


Curve = dict[float, Point]
"""By ratio, from the lowest."""


def curve_of(series: Series, metric: str) -> Curve:
    """What a series measured at each ratio.

    Raises:
        ValueError: where a run does not have the number, or does not say its ratio.
    """
    found: dict[float, list[float]] = {}
    for run in series.runs:
        found.setdefault(run.mask_ratio()[1], []).append(run.metric(metric))
    return {
        ratio: Point(fmean(values), min(values), max(values), len(values))
        for ratio, values in sorted(found.items())
    }


def shared_ratios(curves: Sequence[Curve]) -> list[float]:
    """The ratios that all curves have, from the lowest."""
    return sorted(set.intersection(*map(set, curves))) if curves else []


def pimr(curve: Curve, lowest: float) -> dict[float, float]:
    """The gain in the measured number from the lowest ratio to each higher one."""
    return {
        ratio: point.mean - curve[lowest].mean for ratio, point in curve.items() if ratio > lowest
    }


def global_pimr(curve: Curve, ratios: Sequence[float]) -> float:
    """The mean gain over ratios, the first of which is the lowest."""
    gain = pimr(curve, ratios[0])
    return fmean(gain[ratio] for ratio in ratios[1:])


def ratio_figure(series: Sequence[Series], metric: str) -> Drawn:
    """Three panels: the number over ratios, its gain over the lowest ratio, and the mean gain of
    each series.

    Raises:
        ValueError: where the series do not share two ratios, a run has no such number, or does not
            say its ratio.
    """
    curves = [curve_of(one, metric) for one in series]
    shared = shared_ratios(curves)
    if len(shared) < 2:
        each = "; ".join(
            f"{one.name} {_listed(list(curve))}" for one, curve in zip(series, curves, strict=True)
        )
        raise ValueError(
            "a gain needs two masking ratios that all series were run at, and these were run at: "
            f"{each}"
        )
    means = [global_pimr(curve, shared) for curve in curves]
    rows = [
        (
            one.name,
            ratio,
            point.runs,
            point.mean,
            point.low,
            point.high,
            pimr(curve, shared[0]).get(ratio),
            mean,
        )
        for one, curve, mean in zip(series, curves, means, strict=True)
        for ratio, point in curve.items()
    ]
    count, names = (
        sum(point.runs for curve in curves for point in curve.values()),
        [one.name for one in series],
    )
    what = f"{metric} over masking ratios {_listed(shared)} of {count} runs: {', '.join(names)}"
    return Drawn(_draw(names, curves, shared, means, metric), HEADER, rows, what)


def _draw(
    names: Sequence[str],
    curves: Sequence[Curve],
    shared: list[float],
    means: Sequence[float],
    metric: str,
) -> Figure:
    figure = Figure(figsize=(WIDTH, 2.9), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=[1.25, 1.25, 0.8], squeeze=False)[0]
    scale, label, gained = unit(metric)
    for i, (name, curve, mean) in enumerate(zip(names, curves, means, strict=True)):
        style, ratios = line_style(i), list(curve)
        axes[0].plot(ratios, [scale * point.mean for point in curve.values()], label=name, **style)
        low = [scale * point.low for point in curve.values()]
        high = [scale * point.high for point in curve.values()]
        axes[0].fill_between(ratios, low, high, color=style["color"], alpha=0.15, linewidth=0)
        gain = {shared[0]: 0.0} | pimr(curve, shared[0])
        axes[1].plot(list(gain), [scale * value for value in gain.values()], **style)
        axes[2].bar(i, scale * mean, width=0.6, color=style["color"])
        axes[2].annotate(
            f"{scale * mean:+.{1 if is_accuracy(metric) else 3}f}".replace("-", "−"),
            (i, scale * mean),
            xytext=(0, 2 if mean >= 0 else -2),
            textcoords="offset points",
            ha="center",
            va="bottom" if mean >= 0 else "top",
            fontsize=TEXT,
        )
    frame(axes[0], spoken(metric), "masking ratio", label)
    frame(axes[1], "PIMR", "masking ratio", f"{gained} above ratio {shared[0]:g}")
    frame(axes[2], "Global PIMR", "", gained)
    axes[2].set(xticks=[], xlim=(-0.7, len(names) - 0.3))
    axes[2].margins(y=0.15)
    for axis in axes[1:]:
        axis.axhline(0, color="0.45", linewidth=0.7, zorder=0)
    several = any(point.runs > 1 for curve in curves for point in curve.values())
    accuracy = "accuracy" if is_accuracy(metric) else spoken(metric)
    text = DEFINITION.format(what=accuracy, lowest=shared[0], higher=_listed(shared[1:]))
    text += "; bands: lowest to highest seed" if several else ""
    figure.legend(
        loc="outside upper center", ncols=min(4, len(names)), fontsize=TEXT, frameon=False
    )
    figure.supxlabel(text, fontsize=TEXT - 0.5, color="0.3")
    return figure


def _listed(ratios: Sequence[float]) -> str:
    return ", ".join(f"{ratio:g}" for ratio in ratios)
