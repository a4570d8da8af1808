"""Table of pictures: a .csv or .tsv file with a header, its columns of files, labels and splits."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mim.data.columns import LABELS, PATHS, SPLITS, named_column
from mim.data.formats import suffixes
from mim.plain import printable, refuse_special

LARGEST = 2**30  # bytes of a table

LOOKED_FOR = 1000  # files, before anything is trained


class Table(NamedTuple):
    """Rows of a table of pictures, column by column."""

    path: list[str]
    """A file of each row, as it is written."""
    label: list[str]
    """Its label; empty where there is no such column."""
    split: list[str]
    """What it is for, alike."""
    left_out: str
    """Columns that are not looked at, in one line."""


def _text(raw: bytes) -> str:
    """UTF-8, or UTF-16 where its mark says so, which spreadsheets call Unicode text."""
    return raw.decode("utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")


def read_table(
    file: Path,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
) -> Table:
    """Columns of a table with a header; what separates them is a tab, a semicolon or a comma,
    whichever its header has.

    Raises:
        ValueError: where it is no table, or a column is not in it.
    """
    refuse_special(file)
    if file.stat().st_size > LARGEST:
        raise ValueError(
            f"{printable(file)} has {file.stat().st_size:,} bytes; a table has at most {LARGEST:,}"
        )
    try:
        text = _text(file.read_bytes())
        rows = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=_separator(text.partition("\n")[0]),
            strict=True,
        )
        header = next(rows, [])
        content = [row for row in rows if any(row)]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{printable(file)} is not written in UTF-8 ({printable(error)}); save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise ValueError(
            f"{printable(file)} is no table that can be read: {printable(error)}"
        ) from error
    columns = [name.strip() for name in header]
    short = [number for number, row in enumerate(content) if len(row) != len(columns)]
    if not content or short or len(set(columns)) < len(columns):
        why = (
            f"row {short[0] + 2} has {len(content[short[0]])} values, and the header "
            f"{len(columns)} names"
            if content and short
            else "its first line needs to name the columns, each once, and rows need to follow"
        )
        raise ValueError(f"{printable(file)}: {why}")
    path = named_column("path_column", path_column, columns, PATHS) or (
        columns[0] if len(columns) == 1 else None
    )
    if path is None and any(name.lower().endswith(suffixes()) for name in columns):
        raise ValueError(
            f"{printable(file)} has no header: its first line is "
            f"{printable(', '.join(columns), 80)}; put a line before it that "
            "names the columns, e.g. path,label"
        )
    if path is None:
        raise ValueError(
            f"{printable(file)} has the columns {', '.join(map(printable, columns[:20]))}, and "
            "none says that it holds files; name "
            f"it: data.path_column={printable(columns[0])}"
        )
    rest = [name for name in columns if name != path]
    split = named_column("split_column", split_column, rest, SPLITS)
    rest = [name for name in rest if name != split]
    label = named_column("label_column", label_column, rest, LABELS)
    left = [printable(name, 60) for name in rest if name != label]
    left_out = f"columns {', '.join(left[:12])}{', ...' if len(left) > 12 else ''}" if left else ""

    def column(name: str | None) -> list[str]:
        return [] if name is None else [row[columns.index(name)].strip() for row in content]

    return Table(column(path), column(label), column(split), left_out)


def _separator(header: str) -> str:
    return max("\t;,", key=lambda each: (each in header, header.count(each)))


def paths_inside(root: Path, paths: Sequence[str], suffix: str, table: Path) -> Iterator[str]:
    """Paths below a folder; a table that someone else wrote opens nothing outside of it."""
    top = os.path.abspath(root)
    for number, path in enumerate(paths):
        if not path:
            raise ValueError(f"{printable(table)}: row {number + 2} names no file")
        whole = os.path.normpath(os.path.join(top, path + suffix))
        if "\\" in path and not os.path.isfile(whole):  # as another system writes it
            whole = os.path.normpath(os.path.join(top, path.replace("\\", "/") + suffix))
        if not whole.startswith(top.rstrip(os.sep) + os.sep):
            raise ValueError(
                f"{printable(table)}: row {number + 2} names {printable(path)}, which is outside "
                "of "
                f"{printable(top)}; a path out of a file is opened only below data.root: give a "
                "folder that holds "
                "all of them, data.root=/"
            )
        yield whole


def refuse_missing_files(paths: Sequence[str], table: Path) -> None:
    """Of files evenly spread, most have to be there; a few that are missing are skipped and named
    as broken ones are.
    """
    step = max(1, len(paths) // LOOKED_FOR)
    looked_for = paths[::step]
    missing = [path for path in looked_for if not os.path.isfile(path)]
    if 2 * len(missing) > len(looked_for):
        raise FileNotFoundError(
            f"{len(missing):,} of {len(looked_for):,} files of {printable(table)} that were looked "
            "for are not there, such as "
            f"{printable(missing[0])}; data.root= is the folder that they are relative to, "
            "data.suffix=.jpg "
            "puts an ending behind them"
        )
