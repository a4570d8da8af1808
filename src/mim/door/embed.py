"""Features of any number of pictures into a file, in constant memory, going on where it was
stopped.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mim.checkpoint.swap import remove
from mim.door.source import Source
from mim.door.table import Rows, writer_of
from mim.launch.own_folder import check_own_folder
from mim.plain import read_json

PART_BYTES, PART_SECONDS = 2**26, 30.0
"""Features are put on the disk once they are so many bytes, or so old."""


class Embedded(NamedTuple):
    """Counts of embedded pictures: rows of the file, and those that have none."""

    rows: int
    """In the file."""
    unread: int
    """That could not be read, and have no row."""
    resumed: int
    """That an earlier attempt had done."""


def embed(
    source: Source,
    extract: Callable[[Tensor], Tensor],
    out: Path,
    key: str,
    about: str,
    *,
    patches: bool = False,
    batch_size: int = 64,
    progress: Callable[[int], None] = lambda done: None,
) -> Embedded:
    """Write a row for each picture: path, label, feature.

    Until all are done they stand in a folder `.<name>.partial` beside the file, from which the same
    command goes on.

    Args:
        source: of images.
        extract: images (B, 3, H, W) -> (B, D), or (B, L, D).
        out: a file that ends with .npz, .csv or .parquet; must not exist yet.
        key: the same for the same features of the same pictures.
        about: kept in the file, where the format has room for it.
        patches: whether `extract` makes features of patches.
        batch_size: images at a time.
        progress: told how many pictures are done.

    Raises:
        ValueError: where the file cannot be written in this format, or there are no pictures.
    """
    write = writer_of(out, patches)
    if len(source) == 0:
        raise ValueError("there are no pictures in the source; give one at least")
    parts = _Parts(out.parent / f".{out.name}.partial", key)
    resumed = begin = parts.done
    number: list[Tensor] = []
    feature: list[Tensor] = []
    last, progressed = time.monotonic(), begin
    progress(begin)
    for images in source.batches(torch.arange(begin, len(source)), batch_size):
        progressed = min(progressed + batch_size, len(source))
        number.append(images.number)
        feature.append(extract(images.image))
        size = sum(each.numel() for each in feature) * 4
        if size >= PART_BYTES or time.monotonic() - last > PART_SECONDS:
            parts.append(progressed, torch.cat(number).numpy(), torch.cat(feature).numpy())
            number, feature, last = [], [], time.monotonic()
        progress(progressed)
    if number:
        parts.append(progressed, torch.cat(number).numpy(), torch.cat(feature).numpy())
    rows = sum(len(each) for each, _ in parts)
    if rows == 0:
        remove(parts.folder)
        raise ValueError(
            f"none of the {len(source):,} pictures can be read, such as {source.path(0)}"
        )

    def tables() -> Iterator[Rows]:
        for numbers, features in parts:
            chosen = numbers.tolist()
            yield Rows(
                [source.path(n) for n in chosen], [source.label(n) for n in chosen], features
            )

    whole = parts.folder / f"whole{out.suffix}"
    write(whole, tables, about)
    whole.replace(out)
    shutil.rmtree(parts.folder)
    return Embedded(rows, len(source) - rows, resumed)


class _Parts:
    """Features on a disk, part after part, each written whole or not at all.

    Args:
        folder: made where there is none; what an attempt with another key left there is removed.
        key: of what is in it.
    """

    def __init__(self, folder: Path, key: str):
        self.folder, said = folder, folder / "about.json"
        if folder.is_symlink() or not said.is_file() or read_json(said) != {"key": key}:
            remove(folder)
            folder.mkdir(parents=True)
            said.write_text(json.dumps({"key": key}))
        check_own_folder(folder)

    @property
    def done(self) -> int:
        """Number of pictures that need not be looked at again."""
        files = self._files()
        return int(files[-1].stem) if files else 0

    def append(self, done: int, number: NDArray[np.int64], feature: NDArray[np.float32]) -> None:
        """Keep features of the pictures up to `done`."""
        partial = self.folder / "partial"
        with partial.open("wb") as stream:
            np.savez(stream, number=number, feature=feature)
        partial.replace(self.folder / f"{done:012}.npz")

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for file in self._files():
            with np.load(file, allow_pickle=False) as opened:
                yield opened["number"], opened["feature"]

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]" * 12 + ".npz"))
