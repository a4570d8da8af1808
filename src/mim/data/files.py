"""The picture files of a data set, their labels, and which of them turned out to be unreadable."""

import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from mim.data.decode import Fit, decode
from mim.data.hand_over import shared_flags
from mim.data.levels import COLOURS, Reading
from mim.data.loader import beat
from mim.data.names import Names
from mim.data.stamp import file_stamp
from mim.plain import printable, refuse_special

T = TypeVar("T")
SLACK = 2**24  # bytes of a file beside its pixels: profiles, previews, comments


class Files:
    """Picture files, numbered.

    Args:
        paths: one for each picture.
        label: one for each picture, -1 where there is none.
        reading: how they become pictures: channels, range, and the largest that is decoded.
    """

    def __init__(self, paths: Iterable[str], label: Iterable[int], reading: Reading = COLOURS):
        # Arrays of bytes: worker processes would copy a list of a million strings as they count its
        # references.
        self._paths = Names.of(os.fsencode(path) for path in paths)
        self.label = torch.tensor(list(label), dtype=torch.int64)
        self.reading = reading
        self._unreadable = shared_flags(len(self._paths))  # one for all workers

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, number: int) -> str:
        """Where a picture is."""
        return os.fsdecode(self._paths[number])

    def stamp(self, number: int) -> str:
        """What changes where a picture does."""
        return file_stamp(self.path(number))

    def content(self, number: int) -> Tensor:
        """The bytes of a picture, (size,) uint8.

        Raises:
            ValueError: where it is no file, empty, or larger than any picture.
        """
        file = self.path(number)
        refuse_special(Path(file))
        size = os.path.getsize(file)
        self.refuse_long(size)
        if size == 0:
            raise ValueError("it is empty")
        return torch.from_numpy(np.fromfile(file, np.uint8))

    def refuse_long(self, size: int) -> None:
        """Refuse a file of more bytes than the largest picture has with 16 bits a channel.

        Raises:
            ValueError: saying both.
        """
        if size > self.reading.max_megapixels * 2e6 * max(3, self.reading.channels) + SLACK:
            raise ValueError(
                f"it has {size:,} bytes, more than a picture of "
                f"data.max_megapixels={self.reading.max_megapixels:g}"
            )

    def picture(self, number: int) -> Tensor:
        """A picture (C, H, W), uint8 or float32 in 0..255, of a set in which none may be left out.

        Raises:
            ValueError: naming it, where it cannot be read.
        """
        try:
            return decode(self.content(number), self.reading)
        except Exception as error:  # decoders raise what they like
            where = printable(self.path(number))
            raise ValueError(f"{where} cannot be read: {printable(error)}") from error

    def read(self, number: int, fit: Fit | None = None) -> Tensor | None:
        """A picture (C, H, W), uint8 or float32 in 0..255, or None where the file is broken, which
        is said the first time, unless so many are that the run stops.
        """
        return self.tried(number, lambda content: decode(content, self.reading, fit))

    def tried(self, number: int, make: Callable[[Tensor], T]) -> T | None:
        """What is made of the bytes of a picture, or None where that fails, which is said the first
        time.
        """
        beat()
        try:
            return make(self.content(number))
        # decoders raise what they like; the run goes on, up to a share of such files
        except Exception as error:
            if not self._unreadable[number] and not self.too_many_unreadable:
                where = printable(self.path(number))
                count = int(self._unreadable.sum()) + 1
                warnings.warn(f"skipped {where} ({count} so far): {printable(error)}", stacklevel=3)
            self._unreadable[number] = True
            return None

    @property
    def too_many_unreadable(self) -> bool:
        """Whether more than 1 % of the files (one of a small set) turned out to be unreadable."""
        return int(self._unreadable.sum()) > max(1, len(self) // 100)

    def check(self) -> None:
        """Stop a run that has skipped too much.

        Raises:
            ValueError: naming a few of the files.
        """
        if self.too_many_unreadable:
            broken = self._unreadable.nonzero()[:, 0].tolist()
            named = ", ".join(printable(self.path(number)) for number in broken[:3])
            raise ValueError(
                f"{len(broken)} of {len(self)} pictures cannot be read, and at most 1 % may be "
                "skipped: "
                f"{named}{', ...' if len(broken) > 3 else ''}. Repair or delete them. Of the "
                f"first: {self._reason(broken[0])}"
            )

    def _reason(self, number: int) -> str:
        """Why a picture cannot be read; it was found out by another process."""
        try:
            decode(self.content(number), self.reading)
        except Exception as error:
            return printable(error)
        return "it can be read now"


def first_readable(
    files: Files, numbers: Tensor, start: int, fit: Fit | None = None
) -> tuple[int, Tensor]:
    """The first of `numbers` (N,) from place `start` on that can be read -> its place and picture
    (C, H, W).
    """
    place, image = first_made(
        files, numbers, start, lambda content: decode(content, files.reading, fit)
    )
    black = torch.zeros(files.reading.channels, 1, 1, dtype=torch.uint8)
    return place, black if image is None else image


def first_made(
    files: Files, numbers: Tensor, start: int, make: Callable[[Tensor], T]
) -> tuple[int, T | None]:
    """The same, with what is made of its bytes; None where too many files are broken."""
    for step in range(len(numbers)):
        place = (start + step) % len(numbers)
        made = files.tried(int(numbers[place]), make)
        if made is not None:
            return place, made
        # the main process stops the run as soon as it gets this batch
        if files.too_many_unreadable:
            break
    return start, None
