"""Figure of the study: a panel for each judge, and one for pools."""

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from plan import At, Claim
from rows import PROBE, Row

from mim.figure.style import DPI, TEXT, WIDTH, frame

FILLED: dict[At, str] = {"epochs": "black", "compute": "white"}
"""Markers of equal epochs and of equal compute."""


def figure(rows: list[Row], judges: list[str], out: Path) -> bool:
    """Differences with their 95 % intervals, one line a claim -> whether there are any."""
    measured = [row for row in rows if row.difference is not None]
    shown = [judge for judge in judges if any(row.judge == judge for row in measured)]
    arms = claims_of([row for row in measured if row.judge in shown])
    pools = claims_of([row for row in measured if row.judge == PROBE])
    heights = [0.55 + 0.28 * len(claims) for claims in (arms, pools) if claims]
    if not heights:
        return False
    width = max(1, len(shown))
    layout = ([shown] if arms else []) + ([[PROBE] * width] if pools else [])
    with mpl.rc_context({"svg.hashsalt": "study"}):
        drawn, axes = plt.subplot_mosaic(
            layout,
            figsize=(WIDTH, 0.5 + sum(heights)),
            layout="constrained",
            height_ratios=heights,
        )
        for judge, axis in axes.items():
            claims = pools if judge == PROBE else arms
            draw(axis, judge, claims, [row for row in measured if row.judge == judge])
            if judge in shown[1:]:
                axis.tick_params(labelleft=False)
        drawn.legend(handles=key(measured), loc="outside lower right", ncols=2, fontsize=TEXT)
        out.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(out, dpi=DPI, metadata={"Software": None})
        plt.close(drawn)
    return True


def claims_of(rows: list[Row]) -> list[Claim]:
    """Claims of comparisons, each once, the last one first: the first is drawn on top."""
    found = {row.claim.name: row.claim for row in rows}
    return list(found.values())[::-1]


def draw(axis: Axes, judge: str, claims: list[Claim], rows: list[Row]) -> None:
    """A panel; equal compute stands a little below equal epochs."""
    places = {claim.name: place for place, claim in enumerate(claims)}
    frame(axis, judge, "points of top-1", "")
    axis.set_yticks(range(len(claims)), [claim.says for claim in claims], fontsize=TEXT - 1)
    axis.set_ylim(-0.6, len(claims) - 0.4)
    for row in rows:
        gap, place = row.difference, places[row.claim.name] - 0.25 * (row.at == "compute")
        assert gap is not None
        axis.plot([gap.low, gap.high], [place, place], color="0.5", linewidth=1.1, zorder=2)
        axis.plot(gap.mean, place, "o", color="black", mfc=FILLED[row.at], markersize=3.2, zorder=3)
    axis.axvline(0, color="0.7", linewidth=0.8, zorder=1)


def key(rows: list[Row]) -> list[Line2D]:
    """What the markers mean, of those that are there."""
    there = {row.at for row in rows}
    return [
        Line2D(
            [], [], marker="o", linestyle="", color="black", mfc=fill, markersize=3.2, label=text
        )
        for at, fill in FILLED.items()
        if at in there
        for text in [f"equal {at}"]
    ]
