"""Cells of a figure whose rows are images and whose columns are checkpoints, or what one has
several of.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from torch import Tensor

from mim.analysis.gallery import bare
from mim.figure.style import DPI, WIDTH


def cells(rows: int, columns: int, image: Tensor) -> tuple[Figure, np.ndarray]:
    """An empty figure and its axes (rows, columns), in the shape of images (B, C, H, W)."""
    height, width = image.shape[2:]
    side = min(1.2, (WIDTH - 0.04 * columns) / columns)
    size = (side * columns + 0.7, (side * height / width + 0.04) * rows + 0.75)
    close = ConstrainedLayoutEngine(compress=True, w_pad=0.015, h_pad=0.015, wspace=0.0, hspace=0.0)
    figure = Figure(figsize=size, dpi=DPI, layout=close)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        bare(axis)
    return figure, axes


def two_lines(name: str) -> str:
    """A checkpoint's name in at most two lines."""
    words = name.split()
    half = -(-len(words) // 2)
    return name if len(name) <= 14 else "\n".join((" ".join(words[:half]), " ".join(words[half:])))
