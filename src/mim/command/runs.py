"""`python -m mim runs`: read what runs have left, print a table, and write a page where that is
asked for.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mim.figure.listing import Listed, list_runs, numbers_of, said_of
from mim.plain import no_link, printable

COLOURS = {"finished": "green", "running": "blue", "failed": "red", "lost": "red"}
FEWEST = 160
"""Columns of a table that is written to a file."""


def run(given: argparse.Namespace, configs: Path) -> None:
    """List, and say where the page is.

    Raises:
        ValueError: where no run has the name.
    """
    folder = (given.folder or Path(os.environ.get("MIM_RUNS", "runs"))).absolute()
    listed, unread = list_runs(folder, lambda path: given.name is None or given.name in str(path))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else FEWEST)
    console.print(_table(listed, folder))
    for line in unread:
        print(f"{'not read':<14}{line}")
    if given.html:
        from mim.figure.page import page  # matplotlib: a table needs none

        no_link(given.html).write_text(
            page(listed, folder, unread, f"{datetime.now():%Y-%m-%d %H:%M}")
        )
        print(f"{'page':<14}{printable(given.html)}")


def _table(runs: Sequence[Listed], folder: Path) -> Table:
    names = numbers_of(runs)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("run", "state", "epoch", *names, "differs in"):
        table.add_column(
            column, overflow="fold", justify="right" if column in ("epoch", *names) else "left"
        )
    for each in runs:
        differs = " ".join(f"{name}={value}" for name, value in each.differs.items())
        where = (
            each.run.folder.relative_to(folder)
            if each.run.folder != folder
            else each.run.folder.name
        )
        numbers = [said_of(each.best.get(name), name) for name in names]
        state = Text(printable(each.state), COLOURS.get(each.state, ""))
        table.add_row(
            Text(printable(where)),
            state,
            str(each.epoch or ""),
            *numbers,
            Text(printable(differs, 400)),
        )
    return table
