"""Data sets of Hugging Face's library `datasets`: from the hub, parquet files, or a folder that it
saved.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mim.augment.augmentation import Augmentation
from mim.augment.resample import Interpolation
from mim.data.columns import LABELS, PATHS, Parts, classes_of, named_column, parts_of
from mim.data.files import Files
from mim.data.from_files import from_files_splits
from mim.data.levels import COLOURS, MAX_MEGAPIXELS, Decoder, Range, Reading
from mim.data.listing import Listing
from mim.data.module import Splits
from mim.data.on_disk import OfPictures
from mim.data.statistics import Deviation, Mean
from mim.plain import printable, refuse_special
from mim.ranges import Count, NonNegativeInt, Positive, Seed, Size

SAVED = ("dataset_dict.json", "state.json")
"""Files of a folder that `save_to_disk` made, of several splits and of one."""


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
        held_out: float | None = None,
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
        self, splits: Mapping[str, Any], column: str | None, parts: Parts, files: Files
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


class SetRows(Files):
    """Pictures of the splits of a data set, numbered from the first row of the first on.

    Args:
        splits: by name.
        column: that holds the pictures.
        reading: how they become pictures: channels, range, and the largest that is decoded.
        folder: of the data set, where it is one; rows may name files in it.
    """

    def __init__(
        self,
        splits: Mapping[str, Any],
        column: str,
        reading: Reading = COLOURS,
        folder: Path | None = None,
    ):
        from datasets import Image

        self._parts = [
            each.select_columns([column]).cast_column(column, Image(decode=False))
            for each in splits.values()
        ]
        ends = torch.tensor([len(each) for each in self._parts]).cumsum(0)
        names = (f"{name}/{row}" for name, each in splits.items() for row in range(len(each)))
        super().__init__(names, [-1] * int(ends[-1]), reading)
        self._column, self._ends = column, ends
        self._folders = [folder.absolute()] if folder and folder.is_dir() else []

    def content(self, number: int) -> Tensor:
        """The bytes of a picture, (size,) uint8.

        Raises:
            ValueError: where there are none, or more than any picture has.
        """
        part = int(torch.searchsorted(self._ends, number, right=True))
        each = self._parts[part]
        row = each[number - int(self._ends[part]) + len(each)][self._column]
        content = self._bytes(row)
        if not content:
            raise ValueError("it is empty")
        self.refuse_long(len(content))
        return torch.frombuffer(bytearray(content), dtype=torch.uint8)

    def _bytes(self, row: Any) -> bytes | None:
        """Bytes in a row, or of the file that it names."""
        if row is None or row["bytes"] is not None or not row["path"]:
            return row and row["bytes"]
        file = Path(os.path.abspath(row["path"]))
        if not any(folder in file.parents for folder in [*self._folders, _kept()]):
            raise ValueError(
                f"it is no bytes but a path outside of the data set, {printable(file)}; a path out "
                "of a file is not opened"
            )
        refuse_special(file)
        self.refuse_long(file.stat().st_size)
        return file.read_bytes()


def _kept() -> Path:
    """Where the library keeps what it downloaded."""
    from huggingface_hub.constants import HF_HOME

    return Path(os.path.abspath(HF_HOME))


def open_splits(
    name: str | None, config: str | None = None, cache: str | None = None
) -> dict[str, Any]:
    """Splits of a data set, by name.

    Args:
        name: on the hub, or a path.
        config: which of its subsets.
        cache: where the library keeps things.

    Raises:
        FileNotFoundError: where there is none of that name, or no network to find it.
        ValueError: where the library is not installed, or there are no rows.
    """
    if name is None:
        raise FileNotFoundError(
            "data=hf needs a data set: data.name=<user>/<set> of the hub, a .parquet file, or a "
            "folder, e.g. data.name=/my/set"
        )
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise ValueError(
            "data=hf needs the library datasets: pip install 'datasets>=4' (an extra of ours: hf)"
        ) from error
    logging.getLogger("datasets").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    path = Path(name).expanduser()
    try:
        if any((path / mark).is_file() for mark in SAVED):
            opened = datasets.load_from_disk(str(path))
        elif path.is_file():
            opened = datasets.load_dataset("parquet", data_files=str(path), cache_dir=cache)
        else:
            opened = datasets.load_dataset(
                str(path) if path.is_dir() else name, config, cache_dir=cache
            )
    except Exception as error:  # of many kinds: of the library, of the network, of pyarrow
        raise FileNotFoundError(
            f"data.name={printable(name)} cannot be opened "
            f"({printable(' '.join(str(error).split()), 200)}); "
            "give a name of the hub, a .parquet file, a folder of them, or one that save_to_disk "
            "made, "
            "on this computer where there is no network"
        ) from error
    splits = (
        {str(opened.split or "all"): opened}
        if isinstance(opened, datasets.Dataset)
        else dict(opened.items())
    )
    filled = {str(key): each for key, each in splits.items() if len(each)}
    if not filled:
        raise ValueError(f"data.name={printable(name)} has no rows")
    return filled


def columns_of(
    features: Mapping[str, Any], image_column: str | None = None, label_column: str | None = None
) -> tuple[str, str | None]:
    """Columns of the pictures and of the labels, by their types where nothing else says them.

    Raises:
        ValueError: where there is none of a name, several may be meant, or one holds no pictures.
    """
    image = _of_type("image_column", image_column, features, "Image", PATHS)
    if image is None:
        raise ValueError(
            f"no column of the data set holds pictures; it has {_typed(features)}; name one, "
            "data.image_column="
        )
    kind = type(features[image]).__name__
    if kind != "Image" and getattr(features[image], "dtype", "") not in (
        "binary",
        "large_binary",
        "string",
    ):
        raise ValueError(
            f"data.image_column={printable(image, 60)} holds no pictures; the columns are "
            f"{_typed(features)}"
        )
    others = {name: feature for name, feature in features.items() if name != image}
    return image, _of_type("label_column", label_column, others, "ClassLabel", LABELS)


def _of_type(
    setting: str, given: str | None, features: Mapping[str, Any], kind: str, known: Sequence[str]
) -> str | None:
    if given is None:
        typed = [name for name, feature in features.items() if type(feature).__name__ == kind]
        if len(typed) == 1:
            return typed[0]
        if typed:
            return named_column(setting, None, typed, known) or named_column(
                setting, None, typed, [name.lower() for name in typed]
            )
    return named_column(setting, given, list(features), known)


def _typed(features: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{printable(name, 60)} ({type(feature).__name__})"
        for name, feature in list(features.items())[:12]
    )
