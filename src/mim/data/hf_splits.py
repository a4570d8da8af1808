"""Opening a data set of Hugging Face's library `datasets`, and finding its columns."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mim.data.columns import LABELS, NONE, PATHS, named_column
from mim.launch.there import no_data_set
from mim.plain import printable

if TYPE_CHECKING:
    from datasets import Dataset

SAVED = ("dataset_dict.json", "state.json")
"""Files of a folder that `save_to_disk` made, of several splits and of one."""


def open_splits(
    name: str | None, config: str | None = None, cache: str | None = None
) -> "dict[str, Dataset]":
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
        raise no_data_set()
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
    features: Mapping[str, object], image_column: str | None = None, label_column: str | None = None
) -> tuple[str, str | None]:
    """Columns of the pictures and of the labels, by their types where nothing else says them.

    Raises:
        ValueError: where there is none of a name, several may be meant, one holds no pictures, or
            several labels for each.
    """
    image = _of_type("image_column", image_column, features, "Image", PATHS)
    if image is None:
        raise ValueError(
            f"no column of the data set holds pictures; it has {_typed(features)}; name one, "
            "data.image_column="
        )
    if _kind(features[image]) != "Image" and getattr(features[image], "dtype", "") not in (
        "binary",
        "large_binary",
        "string",
    ):
        raise ValueError(
            f"data.image_column={printable(image, 60)} holds no pictures; the columns are "
            f"{_typed(features)}"
        )
    others = {name: feature for name, feature in features.items() if name != image}
    label = _of_type("label_column", label_column, others, "ClassLabel", LABELS)
    if label is not None and _kind(others[label]) not in ("ClassLabel", "Value"):
        raise ValueError(
            f"data.label_column={printable(label, 60)} holds no single class for each picture; the "
            f"columns are {_typed(features)}; choose another, or none: data.label_column={NONE}"
        )
    return image, label


def _of_type(
    setting: str, given: str | None, features: Mapping[str, object], kind: str, known: Sequence[str]
) -> str | None:
    if given is None:
        typed = [name for name, feature in features.items() if _kind(feature) == kind]
        if len(typed) == 1:
            return typed[0]
        if typed:
            return named_column(setting, None, typed, known) or named_column(
                setting, None, typed, [name.lower() for name in typed]
            )
    return named_column(setting, given, list(features), known)


def _kind(feature: object) -> str:
    """Type of a column; of bytes beside a path, as other programs write pictures, `Image`."""
    is_stored = isinstance(feature, dict) and "bytes" in feature and {*feature} <= {"bytes", "path"}
    return "Image" if is_stored else type(feature).__name__


def _typed(features: Mapping[str, object]) -> str:
    return ", ".join(
        f"{printable(name, 60)} ({_kind(feature)})" for name, feature in list(features.items())[:12]
    )
