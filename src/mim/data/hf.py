"""Data sets of Hugging Face's library `datasets`: from the hub, parquet files, or a folder that it
saved.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mim.augment.augmentation import Augmentation
from mim.augment.resample import Interpolation
from mim.data.class_labels import classes_of
from mim.data.columns import Parts, parts_of
from mim.data.files import Files
from mim.data.from_files import from_files_splits
from mim.data.hf_rows import SetRows
from mim.data.hf_splits import columns_of, open_splits
from mim.data.levels import MAX_MEGAPIXELS, Decoder, Range
from mim.data.listing import HeldOut, Listing
from mim.data.on_disk import OfPictures
from mim.data.splits import Splits
from mim.data.statistics import Deviation, Mean
from mim.plain import printable
from mim.ranges import Count, NonNegativeInt, Positive, Seed, Size

if TYPE_CHECKING:
    from datasets import Dataset


class HF(OfPictures):
    """Rows of a data set of Hugging Face, read in place by their number and decoded when they are
    needed.

    Order, crops and masks belong to (seed, epoch, position) as everywhere, and a stopped run goes
    on exactly.

    Args:
        name: on the hub, `<user>/<set>`; or a `.parquet` file, a folder of them, or one that
            `save_to_disk` made.
        config: which of its subsets, where it has several.
        image_column: column of the pictures; null for the only one of type Image, else `image`,
            `img`, ..
        label_column: column of the labels; null for the only one of type ClassLabel, else `label`,
            ..; none for no labels.
        train: split to train on; null for `train`, or for the only one.
        val: split to hold out; null for `validation`, `val`, .., else `test`; without any, a share
            is held out.
        held_out: share of the rows to hold out, always the same ones, where no split says which;
            null for a tenth.
        cache: where the library keeps what it downloads and converts; null for its own place
            (HF_HOME).
        others: those of `OfPictures`.
    """

    def __init__(
        self,
        augment: Augmentation,
        image_size: Size,
        batch_size: Count,
        name: str | None = None,
        config: str | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        train: str | None = None,
        val: str | None = None,
        held_out: HeldOut | None = None,
        cache: str | None = None,
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
            name or "",
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
        self.name, self.config, self.cache = name, config, cache
        self.columns, self.chosen = (image_column, label_column), (train, val)
        self.held_out = held_out
        self._said: dict[str, str] = {}

    def load(self) -> Splits:
        """Open the data set, which the library downloads or converts where it has not yet.

        Raises:
            FileNotFoundError: where there is none.
            ValueError: where it does not say what is what, or a column holds no pictures.
        """
        splits = open_splits(self.name, self.config, self.cache)
        names = list(splits)
        first = splits[names[0]]
        image, label = columns_of(first.features, *self.columns)
        code = torch.repeat_interleave(torch.tensor([len(each) for each in splits.values()]))
        parts = parts_of(names, code, *self.chosen, self.held_out, self.only_judged)
        files = SetRows(
            splits, image, self.reading, None if self.name is None else Path(self.name).expanduser()
        )
        classes, files.label = self._labels(splits, label, parts, files)
        self._said = {"splits": parts.words}
        left = [
            printable(column, 60) for column in first.column_names if column not in (image, label)
        ]
        if left:
            self._said["left out"] = (
                f"columns {', '.join(left[:12])}{', ...' if len(left) > 12 else ''}"
            )
        return from_files_splits(
            Listing(files, parts.train, parts.val, classes), self.augment, self.centred
        )

    def _labels(
        self, splits: "Mapping[str, Dataset]", column: str | None, parts: Parts, files: Files
    ) -> tuple[list[str], Tensor]:
        if column is None:
            return classes_of([None] * len(files), parts, files.path)
        values = [
            value
            for each in splits.values()
            for value in (
                each.with_format(None)[column][:]
                if column in each.column_names
                else [None] * len(each)
            )
        ]
        names = getattr(next(iter(splits.values())).features[column], "names", None) or ()
        return classes_of(values, parts, files.path, names)

    @property
    def words(self) -> dict[str, str]:
        """What every data set says, which splits are for what, and which columns are not looked
        at.
        """
        return super().words | self._said
