"""Pictures that a table lists: a column of files, one of labels, one of splits."""

from pathlib import Path

import numpy as np
import torch

from mim.augment.augmentation import Augmentation
from mim.augment.resample import Interpolation
from mim.data.class_labels import classes_of
from mim.data.columns import parts_of
from mim.data.files import Files
from mim.data.from_files import from_files_splits
from mim.data.levels import MAX_MEGAPIXELS, Decoder, Range
from mim.data.listing import HeldOut, Listing
from mim.data.on_disk import OfPictures
from mim.data.splits import Splits
from mim.data.statistics import Deviation, Mean
from mim.data.table import paths_inside, read_table, refuse_missing_files
from mim.launch.there import find_table
from mim.plain import printable
from mim.ranges import Count, NonNegativeInt, Positive, Seed, Size


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
        held_out: HeldOut | None = None,
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
        paths = list(paths_inside(root, table.path, self.suffix, file))
        refuse_missing_files(paths, file)
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
            return find_table(self.table, self.root if self.has_root else None)
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
