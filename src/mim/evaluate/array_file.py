"""An array on disk that is written a few rows at a time, and read as a memory map."""

import hashlib
import json
import math
import os
from pathlib import Path

import torch
from torch import Tensor

from mim.plain import Settings, read_json


class ArrayFile:
    """Rows of one shape; nothing is to be seen of them before all are there.

    Args:
        file: holds the numbers; their shape and their checksum stand beside it, in a file that ends
            with `.json`.
        dtype: what is kept of them.
    """

    def __init__(self, file: Path, dtype: torch.dtype):
        self.file, self.dtype = file, dtype
        self.about = file.with_suffix(".json")
        self.partial = file.with_suffix(f".{os.getpid()}.partial")
        self.count, self.shape = 0, torch.Size()
        self._sum = _new_sum()

    def holds(self, count: int) -> bool:
        """Whether it has so many rows, and its bytes are those that were written: it is read once
        for that.
        """
        about = self._about()
        if about is None or about["shape"][0] != count:
            return False
        found, piece = _new_sum(), memoryview(bytearray(2**20))
        with self.file.open("rb", buffering=0) as stream:
            while size := stream.readinto(piece):
                found.update(piece[:size])
        return found.hexdigest() == about.get("checksum")

    def _about(self) -> Settings | None:
        """What stands beside it, if that fits its size."""
        if not (self.about.is_file() and self.file.is_file()):
            return None
        try:
            about = read_json(self.about)
        except ValueError:
            return None
        shape = about.get("shape") if isinstance(about, dict) else None
        if not isinstance(shape, list) or not shape:
            return None
        if not all(type(side) is int and side >= 0 for side in shape):
            return None
        fits = math.prod(shape) * self.dtype.itemsize == self.file.stat().st_size
        return about if fits else None

    def append(self, rows: Tensor) -> None:
        """Add rows (B, ...) at the end.

        Raises:
            OSError: where the disk is full.
            ValueError: where a number does not fit the precision.
        """
        kept = rows.detach().to("cpu", self.dtype)
        if not rows.isfinite().all():
            raise ValueError(
                "features are no numbers (NaN or infinite): the weights, or the images, are damaged"
            )
        if kept.is_floating_point() and not kept.isfinite().all():
            raise ValueError(
                f"features are too large for {str(self.dtype).removeprefix('torch.')}; try "
                "evaluate.precision=float32"
            )
        self.count, self.shape = self.count + len(rows), rows.shape[1:]
        content = kept.contiguous().view(torch.uint8).numpy().tobytes()
        self._sum.update(content)
        with self.partial.open("ab") as stream:
            stream.write(content)

    def finish(self) -> None:
        """Put the whole file in its place, then what says its shape and checksum."""
        os.replace(self.partial, self.file)
        self.about.write_text(
            json.dumps({"shape": [self.count, *self.shape], "checksum": self._sum.hexdigest()})
        )

    def discard(self) -> None:
        """Leave nothing of what was not finished."""
        self.partial.unlink(missing_ok=True)

    def open(self) -> Tensor:
        """All rows (N, ...), read from disk where they are used; writing to them changes nothing
        there.
        """
        about = self._about()
        if about is None:
            raise ValueError(f"{self.file} and {self.about.name} do not agree; remove both")
        shape = about["shape"]
        size = torch.Size(shape).numel()
        return torch.from_file(str(self.file), shared=False, size=size, dtype=self.dtype).view(
            shape
        )


def _new_sum() -> "hashlib.blake2b":
    return hashlib.blake2b(digest_size=16)
