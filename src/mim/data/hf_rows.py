"""Pictures in the rows of a data set of Hugging Face, read by their number."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import Tensor

from mim.data.files import Files
from mim.data.levels import COLOURS, Reading
from mim.data.stamp import file_stamp
from mim.plain import printable, refuse_special

if TYPE_CHECKING:
    from datasets import Dataset


class StoredPicture(TypedDict):
    """Picture as a row has it: its bytes, or a path to them."""

    bytes: "bytes | None"
    path: str | None


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
        splits: "Mapping[str, Dataset]",
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
        kept = [str(each["filename"]) for part in splits.values() for each in part.cache_files]
        self._stamp = " ".join(map(file_stamp, kept))
        self._folders = [folder.absolute()] if folder and folder.is_dir() else []

    def stamp(self, number: int) -> str:
        """What changes where the data set does."""
        return f"{self.path(number)} {self._stamp}"

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

    def _bytes(self, row: StoredPicture | None) -> bytes | None:
        """Bytes in a row, or of the file that it names."""
        if row is None or row["bytes"] is not None or not row["path"]:
            return row["bytes"] if row else None
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
