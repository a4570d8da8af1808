"""`python -m mim figure`: read runs or open checkpoints, draw, and write the numbers beside the
picture.
"""

import argparse
import os
from datetime import datetime
from pathlib import Path
from pkgutil import resolve_name

from mim.figure.table import write

DRAW = {
    "ratio": "mim.command.figure_of_runs:draw_ratio",
    "epochs": "mim.command.figure_of_runs:draw_epochs",
    "attention": "mim.command.figure_of_checkpoints:draw_attention",
    "pca": "mim.command.figure_of_checkpoints:draw_pca",
    "neighbours": "mim.command.neighbours:draw_neighbours",
    "reconstructions": "mim.command.figure_of_checkpoints:draw_reconstructions",
}
"""Module and function that draw each; not imported before it is asked for: that takes seconds."""


def run(given: argparse.Namespace, configs: Path) -> None:
    """Draw one figure, and say where it is."""
    drawn = resolve_name(DRAW[given.name])(given, configs)
    print(write(drawn, given.out or _default_picture(given.name)))


def _default_picture(name: str) -> Path:
    return (
        Path(os.environ.get("MIM_RUNS", "runs"))
        / "figures"
        / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        / f"{name}.png"
    )
