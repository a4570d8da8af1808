"""Lines of a figure: colours, dashes, markers. It imports nothing that takes seconds."""

from typing import TypedDict

# Okabe and Ito's, which all readers can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*"


class LineStyle(TypedDict, total=False):
    """Look of a line, as matplotlib's `plot` takes it."""

    color: str
    linestyle: str
    marker: str
    markersize: float
    linewidth: float
    markevery: int
