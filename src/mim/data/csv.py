"""Pictures that a table lists: a column of files, one of labels, one of splits."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mim.augment.augmentation import Augmentation
from mim.augment.resample import Interpolation
from mim.data.columns import LABELS, PATHS, SPLITS, classes_of, named_column, parts_of
from mim.data.decode import suffixes
from mim.data.files import Files
from mim.data.from_files import from_files_splits
from mim.data.levels import MAX_MEGAPIXELS, Decoder, Range
from mim.data.listing import Listing
from mim.data.module import Splits
from mim.data.on_disk import OfPictures
from mim.data.statistics import Deviation, Mean
from mim.plain import printable, refuse_special
from mim.ranges import Count, NonNegativeInt, Positive, Seed, Size

LARGEST = 2**30  # bytes of a table
LOOKED_FOR = 1000  # files, before anything is trained


class Table(NamedTuple):
    """What a table says."""

    path: list[str]
    """A file of each row, as it is written."""
    label: list[str]
    """Its label; empty where there is no such column."""
    split: list[str]
    """What it is for, alike."""
    left_out: str
    """Columns that are not looked at, in one line."""


class Csv(OfPictures):
    """Pictures listed in a .csv or .tsv file with a header.

    Args:
        root: folder that the paths in the table are relative to, and that they may not leave; null
            for the table's own.
        table: the file, in `root` or as a path from here; null for the only one in `root`.
        path_column: column of the files; null for `path`, `file`, `filename`, `image`, .., or the
            only one that there is.
        label_column: column of the labels, of which one is chosen where there are several; null for
            `label`, `class`, `target`, ..; none for no labels.
        split_column: column that says what a row is for; null for `split`, `set`, `fold`, ..; none
            for no such column.
        train: what it says of rows to train on; null for `train`, `training`, .., or for all that
            are not held out.
        val: what it says of rows to hold out; null for `val`, `valid`, .., else `test`; without
            any, a share is held out.
        suffix: put behind every path, where the table leaves it out, e.g. `.png`.
        held_out: share of the rows to hold out, always the same ones, where nothing says which;
            null for a tenth.
        others: those of `OfPictures`.
    """

    def __init__(
        self,
        augment: Augmentation,
        image_size: Size,
        batch_size: Count,
        root: str | None = None,
        table: str | None = None,
        path_column: str | None = None,
        label_column: str | None = None,
        split_column: str | None = None,
        train: str | int | None = None,
        val: str | int | None = None,
        suffix: str = "",
        held_out: float | None = None,
        seed: Seed = 0,
        num_workers: NonNegativeInt | None = None,
        shuffle: bool = True,
        mean: Mean | None = None,
        std: Deviation | None = None,
        resize: Count | None = None,
        resize_interpolation: Interpolation = "bicubic",
        max_megapixels: Positive = MAX_MEGAPIXELS,
        channels: Count = 3,
        range: Range = None,
        exif: bool = True,
        decoder: Decoder | None = None,
        reduced: bool = False,
    ):
        super().__init__(
            root or ".",
            augment,
            image_size,
            batch_size,
            seed,
            num_workers,
            shuffle,
            mean,
            std,
            resize,
            resize_interpolation,
            max_megapixels,
            channels,
            range,
            exif,
            decoder,
            reduced,
        )
        self.has_root, self.table, self.suffix, self.held_out = (
            root is not None,
            table,
            suffix,
            held_out,
        )
        self.columns = path_column, label_column, split_column
        self.train, self.val = (None if name is None else str(name) for name in (train, val))
        self._said: dict[str, str] = {}

    def load(self) -> Splits:
        """Read the table.

        Raises:
            FileNotFoundError: where it is not there, or most of its files are not.
            ValueError: where it does not say what is what.
        """
        file = self._find_table()
        root = self.root if self.has_root else file.parent
        table = read_table(file, *self.columns)
        paths = list(_inside(root, table.path, self.suffix, file))
        _refuse_missing(paths, file)
        names, code = np.unique(table.split or [""] * len(table.path), return_inverse=True)
        parts = parts_of(
            [str(name) for name in names],
            torch.from_numpy(code),
            self.train,
            self.val,
            self.held_out,
            self.only_judged,
        )

        def where(row: int) -> str:
            return f"{printable(table.path[row], 100)} (row {row + 2})"

        classes, label = classes_of(table.label or [""] * len(paths), parts, where)
        self._said = {"table": f"{printable(file)}: {parts.words}"}
        if table.left_out:
            self._said["left out"] = table.left_out
        files = Files(paths, label.tolist(), self.reading)
        return from_files_splits(
            Listing(files, parts.train, parts.val, classes), self.augment, self.centred
        )

    @property
    def words(self) -> dict[str, str]:
        """What every data set says, which rows are for what, and which columns are not looked
        at.
        """
        return super().words | self._said

    def _find_table(self) -> Path:
        """The table, in the root or as a path from here."""
        if self.table is not None:
            given = Path(self.table).expanduser()
            for file in ([self.root / given] if self.has_root else []) + [given]:
                if file.is_file():
                    return file
            raise FileNotFoundError(
                f"data.table={printable(self.table)} is no "
                f"file{f' in data.root={printable(self.root)}' if self.has_root else ''}; "
                "give its whole path, e.g. data.table=/path/to/labels.csv"
            )
        found = sorted(
            file for file in self.root.glob("*") if file.suffix.lower() in (".csv", ".tsv")
        )
        if not self.has_root or len(found) != 1:
            names = ", ".join(printable(file.name) for file in found[:6]) if self.has_root else ""
            raise FileNotFoundError(
                "data=csv needs a table: give "
                f"data.table=/path/to/labels.csv{f', one of {names}' if names else ''}; its header "
                "names a column of files, and may name labels and splits"
            )
        return found[0]


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


def _inside(root: Path, paths: Sequence[str], suffix: str, table: Path) -> Iterator[str]:
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


def _refuse_missing(paths: Sequence[str], table: Path) -> None:
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
