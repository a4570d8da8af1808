"""`python -m mim shards`: what it does once its command line is read."""

import argparse
import sys
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mim.command.statistics import build_data, settings_of
from mim.data.shard_writer import Shape, write_shards
from mim.plain import printable


def run(given: argparse.Namespace, configs: Path) -> None:
    """Write, and say what was written."""
    settings = settings_of(given.pictures)
    data = build_data(settings, configs)
    shape = Shape(given.size, given.quality, given.format, given.per_shard)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    quiet = not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("write", total=len(data.splits.train) + len(data.splits.val))
        made = write_shards(
            data.splits,
            given.out,
            shape,
            " ".join(settings),
            lambda done: bar.update(task, completed=done),
        )
    said = f"{made.pictures:,} pictures in {len(made.shards):,} shards, {made.bytes / 1e6:,.1f} MB"
    said += f"; {made.already:,} shards were there" if made.already else ""
    print(f"{'wrote':<14}{printable(given.out)}: {said}")
    print(f"{'to type':<14}python -m mim train data=webdataset data.root={quote(str(given.out))}")
