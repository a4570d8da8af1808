"""The numbers of a figure, as a CSV file beside it."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from mim.analysis.figure_files import save_figure


class Drawn(NamedTuple):
    """A figure, the numbers that it shows, and what it is, in a line."""

    figure: Figure
    header: tuple[str, ...]
    rows: Sequence[Sequence[str | int | float | None]]
    what: str


def write(drawn: Drawn, picture: Path) -> str:
    """Write the picture as PNG and PDF and the numbers as CSV, side by side; a line that says where
    they are.
    """
    picture.parent.mkdir(parents=True, exist_ok=True)
    save_figure(drawn.figure, picture.parent, picture.stem)
    with picture.with_suffix(".csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(drawn.header)
        lines.writerows([_written(value) for value in row] for row in drawn.rows)
    return f"figure {picture}  numbers {picture.with_suffix('.csv')}  {drawn.what}"


def _written(value: str | int | float | None) -> str | int:
    """Enough digits to tell any two single-precision numbers apart."""
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else value
