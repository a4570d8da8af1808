"""Where the pictures of tar files lie, so that each can be read in place."""

import hashlib
import os
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mim.data.decode import SUFFIXES
from mim.data.files import Files

NO_LABEL = -1


class Index(NamedTuple):
    """The pictures of some shards, in their order."""

    shard: NDArray[np.int32]
    """(N,), which of them."""
    name: NDArray[np.bytes_]
    """(N,), in the shard."""
    offset: NDArray[np.int64]
    """(N,), the first byte."""
    size: NDArray[np.int64]
    """(N,), bytes."""
    label: NDArray[np.int64]
    """(N,), -1 where there is none."""


class Members(Files):
    """Pictures in tar files, numbered.

    Args:
        shards: the tar files.
        index: of their pictures.
    """

    def __init__(self, shards: Sequence[Path], index: Index):
        super().__init__(map(os.fsdecode, index.name), index.label)
        self._shards, self._index = [str(shard) for shard in shards], index

    def path(self, number: int) -> str:
        """The shard and the name in it."""
        return f"{self._shards[self._index.shard[number]]}/{super().path(number)}"

    def content(self, number: int) -> Tensor:
        """The bytes of a picture, (size,) uint8."""
        with open(self._shards[self._index.shard[number]], "rb") as file:
            file.seek(int(self._index.offset[number]))
            return torch.frombuffer(bytearray(file.read(int(self._index.size[number]))), dtype=torch.uint8)


def index_of(shards: Sequence[Path], cache: Path | None = None) -> Index:
    """Read the headers of the shards, or what an earlier run kept of them.

    Raises:
        ValueError: where a file is no plain tar file, or pictures and labels do not go together.
    """
    known = [(str(shard.resolve()), stat.st_size, stat.st_mtime_ns) for shard in shards for stat in [shard.stat()]]
    kept = cache / f"{hashlib.sha256(repr(known).encode()).hexdigest()[:16]}.npz" if cache else None
    if kept and kept.is_file():
        with np.load(kept) as arrays:
            return Index(**arrays)
    with ThreadPoolExecutor(16) as pool:  # it is the disk that takes long
        found = list(pool.map(_pictures, shards))
    rows = [(number, *row) for number, part in enumerate(found) for row in part]
    shard, name, offset, size, label = zip(*rows, strict=True) if rows else ([],) * 5
    index = Index(
        np.array(shard, np.int32),
        np.array([os.fsencode(one) for one in name], np.bytes_),
        *(np.array(column, np.int64) for column in (offset, size, label)),
    )
    if kept:
        _keep(index, kept)
    return index


def _keep(index: Index, file: Path) -> None:
    """Write the index whole or not at all; without room for it, it is read anew next time."""
    partial = file.with_name(f"{file.stem}.{os.getpid()}.npz")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, **index._asdict())
        partial.replace(file)


def _pictures(shard: Path) -> list[tuple[str, int, int, int]]:
    """Name, offset, size and label of the pictures of one shard; members of one sample share their name up to the first dot."""
    pictures: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                folder, _, base = member.name.rpartition("/")
                stem, _, extension = base.partition(".")
                sample = f"{folder}/{stem}"
                if f".{extension.lower()}" in SUFFIXES:
                    pictures.setdefault(sample, (member.name, member.offset_data, member.size))
                elif extension == "cls":
                    content = tar.extractfile(member)
                    labels[sample] = int(content.read()) if content else NO_LABEL
    except (tarfile.TarError, ValueError) as error:
        raise ValueError(
            f"{shard} is no shard that can be read in place ({error}); it has to be a plain .tar file, not compressed, with "
            "a picture and its class as a number, e.g. 0001.jpg and 0001.cls"
        ) from error
    return [(*where, labels.get(sample, NO_LABEL)) for sample, where in pictures.items()]
