"""How figures of this room look: sizes, lines, and the frame of a panel of curves."""

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mim.analysis.lines import COLOURS, LINES, MARKERS, LineStyle

WIDTH = 7.2  # inches: the text width of most papers, and what a README shows unscaled
DPI = 220
TEXT = 7.0  # points
TITLE = 8.0


def line_style(i: int) -> LineStyle:
    """Of the i-th line: colour, dashes and marker, in colours that all readers can tell apart."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": LINES[i // len(COLOURS) % len(LINES)],
        "marker": MARKERS[i % len(MARKERS)],
        "markersize": 3.4,
        "linewidth": 1.3,
    }


def frame(axis: Axes, title: str, x: str, y: str) -> None:
    """A panel's title, labels and grid."""
    axis.set_title(title, fontsize=TITLE, loc="left")
    axis.set_xlabel(x, fontsize=TEXT)
    axis.set_ylabel(y, fontsize=TEXT)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axis.tick_params(labelsize=TEXT, length=2)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", linewidth=0.4, color="0.9")
    axis.set_axisbelow(True)


def unit(metric: str) -> tuple[float, str, str]:
    """What a number is multiplied by when it is drawn, its unit, and that of a difference:
    accuracies are shares, drawn in %.
    """
    return (100.0, "%", "points") if is_accuracy(metric) else (1.0, "", "difference")


def is_accuracy(metric: str) -> bool:
    """Whether a number is a share of images, such as `knn/top1`."""
    return metric.rpartition("/")[2].startswith("top")


SPOKEN = {"knn": "k-NN", "val": "validation", "train": "training", "top1": "top-1", "top5": "top-5"}


def spoken(metric: str) -> str:
    """`knn/top1` -> `k-NN top-1`."""
    return " ".join(SPOKEN.get(word, word.replace("_", " ")) for word in metric.split("/"))
