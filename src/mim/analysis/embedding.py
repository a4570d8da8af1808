"""Features as points of a plane, so that near images stay near."""

import csv
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import NamedTuple, Protocol

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn import manifold
from sklearn.neighbors import NearestNeighbors

from mim.ranges import NotNegative, Positive, Seed, TwoOrMore

TEXT = 6.5  # points


class Projection(Protocol):
    """Puts features (N, D) into the plane (N, 2)."""

    def __call__(self, feature: NDArray[np.float32]) -> NDArray[np.float32]: ...


class TSNE:
    """t-SNE (van der Maaten and Hinton, 2008), scikit-learn's, started from the principal
    components.

    Args:
        perplexity: about how many neighbours an image has.
        seed: of the optimisation.
    """

    def __init__(self, perplexity: Positive = 30.0, seed: Seed = 0):
        self.perplexity, self.seed = perplexity, seed

    def __call__(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) -> (N, 2).

        Raises:
            ValueError: where there are no more images than neighbours.
        """
        if len(feature) <= self.perplexity:
            raise ValueError(
                f"t-SNE got {len(feature)} images and perplexity={self.perplexity:g}; needs more "
                "images than that: "
                "lower evaluate.projection.perplexity, or raise evaluate.limit"
            )
        return manifold.TSNE(perplexity=self.perplexity, random_state=self.seed).fit_transform(
            feature
        )


class UMAP:
    """UMAP (McInnes et al., arXiv 1802.03426), umap-learn's.

    Args:
        neighbours: how many neighbours an image has.
        min_dist: how near points may be drawn.
        seed: of the optimisation.

    Raises:
        ValueError: where umap-learn is not installed.
    """

    def __init__(self, neighbours: TwoOrMore = 15, min_dist: NotNegative = 0.1, seed: Seed = 0):
        if importlib.util.find_spec("umap") is None:
            raise ValueError(
                "UMAP needs umap-learn: pip install -e '.[umap]', or use evaluate=embedding (t-SNE)"
            )
        self.neighbours, self.min_dist, self.seed = neighbours, min_dist, seed

    def __call__(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) -> (N, 2)."""
        import umap  # it compiles while it is imported

        plane = umap.UMAP(
            n_neighbors=self.neighbours, min_dist=self.min_dist, random_state=self.seed, n_jobs=1
        ).fit_transform(feature)
        return np.asarray(plane)


class Points(NamedTuple):
    """Images of one model in the plane."""

    name: str
    """Of the model and what stands for an image."""
    place: NDArray[np.float32]
    """(N, 2)."""
    label: NDArray[np.int64]
    """(N,), -1 without labels."""
    image: NDArray[np.int64]
    """(N,), which held-out image."""


def agreement(points: Points) -> float:
    """Share of images whose nearest neighbour in the plane is of the same class."""
    nearest = (
        NearestNeighbors(n_neighbors=1).fit(points.place).kneighbors(return_distance=False)[:, 0]
    )
    return float((points.label[nearest] == points.label).mean())


def scatter(sheets: Sequence[Points], classes: Sequence[str]) -> Figure:
    """A panel each, in the colours of the classes; grey where there are none. At most four panels a
    row.
    """
    columns = min(4, len(sheets))
    rows = -(-len(sheets) // columns)
    figure = Figure(figsize=(2.3 * columns + 1.1, 2.45 * rows), dpi=220, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, points in zip(axes.flat, sheets, strict=False):
        axis.axis("on")
        axis.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
        axis.spines[:].set(color="0.8", linewidth=0.5)
        axis.set_title(fill(points.name, 34), fontsize=TEXT + 0.5)
        # no class is drawn over all others
        order = np.random.default_rng(0).permutation(len(points.label))
        colour = [_colour(label, len(classes)) for label in points.label[order]]
        side = max(1.5, min(9.0, 8000 / len(order)))
        axis.scatter(*points.place[order].T, c=colour, s=side, linewidths=0)
    handles = [
        axis.scatter([], [], color=_colour(label, len(classes)), s=14, label=name)
        for label, name in enumerate(classes)
    ]
    if handles:
        figure.legend(
            handles=handles,
            loc="outside right center",
            fontsize=TEXT,
            frameon=False,
            handletextpad=0.1,
        )
    return figure


def _colour(label: int, classes: int) -> str | tuple[float, ...]:
    """Ten colours that are told apart at once, twenty that still are, or as many as it takes."""
    if label < 0:
        return "0.5"
    palette = colormaps["tab10" if classes <= 10 else "tab20"]
    return palette(int(label)) if classes <= 20 else colormaps["turbo"](int(label) / (classes - 1))


def write(sheets: Sequence[Points], classes: Sequence[str], file: Path) -> None:
    """One line a point: panel, which held-out image, its class, and where it is."""
    with file.open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(("panel", "image", "class", "x", "y"))
        for points in sheets:
            for (x, y), label, image in zip(points.place, points.label, points.image, strict=True):
                lines.writerow(
                    (
                        points.name,
                        image,
                        classes[label] if label >= 0 else "",
                        f"{x:.6g}",
                        f"{y:.6g}",
                    )
                )
