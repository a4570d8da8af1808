"""Rows of `metrics.csv`, read one by one, whoever wrote it."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from mim.plain import printable, refuse_special

# bytes; 10,000 epochs of ImageNet in steps of 4096, logged at every tenth, have less than 2**25
LARGEST = 2**28


def read_rows(file: Path) -> Iterator[dict[str, str]]:
    """Rows by the names of their columns.

    Raises:
        ValueError: where it is no ordinary file, too large, or no table.
    """
    refuse_special(file)
    if file.stat().st_size > LARGEST:
        raise ValueError(
            f"{printable(file)} has {file.stat().st_size:,} bytes; at most {LARGEST:,} are read"
        )
    try:
        with file.open(newline="") as stream:
            for row in csv.DictReader(stream):
                yield {
                    key: value
                    for key, value in row.items()
                    if isinstance(key, str) and isinstance(value, str)
                }
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{printable(file)} is no table of numbers ({printable(error, 100)})"
        ) from error


def whole_number(text: str, file: Path) -> int:
    """A number that something is counted by.

    Raises:
        ValueError: naming the file.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError(f"{printable(file)}: {printable(text, 60)} is no number of an epoch")
    return int(text)


def finite(text: str, file: Path) -> float:
    """A measured number; NaN where nothing could be measured.

    Raises:
        ValueError: naming the file.
    """
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"{printable(file)}: {printable(text, 60)} is no number") from error
    return value if math.isfinite(value) else math.nan
