"""Where the pictures of tar files lie, so that each can be read in place."""

import hashlib
import os
import re
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mim.data.decode import MAX_MEGAPIXELS, suffixes
from mim.data.files import Files
from mim.data.names import Names
from mim.data.tar import Member, members
from mim.plain import printable, refuse_special

NO_LABEL = -1
MOST_CLASSES = 2**18  # a head, a name and a count for each; ImageNet-21k has 21,841


class Index(NamedTuple):
    """The pictures of some shards, in their order."""

    shard: NDArray[np.int32]
    """(N,), which of them."""
    name: Names
    """N, in the shard."""
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
        max_megapixels: of a picture that is decoded, in millions of pixels.
    """

    def __init__(self, shards: Sequence[Path], index: Index, max_megapixels: float = MAX_MEGAPIXELS):
        names = (os.fsdecode(index.name[number]) for number in range(len(index.name)))
        super().__init__(names, index.label, max_megapixels)
        self._shards, self._index = [str(shard) for shard in shards], index

    def path(self, number: int) -> str:
        """The shard and the name in it."""
        return f"{self._shards[self._index.shard[number]]}/{super().path(number)}"

    def content(self, number: int) -> Tensor:
        """The bytes of a picture, (size,) uint8.

        Raises:
            ValueError: where they are more than any picture has.
        """
        size = int(self._index.size[number])
        self.refuse_long(size)
        with open(self._shards[self._index.shard[number]], "rb") as file:
            file.seek(int(self._index.offset[number]))
            return torch.frombuffer(bytearray(file.read(size)), dtype=torch.uint8)


def index_of(shards: Sequence[Path], cache: Path | None = None) -> Index:
    """Read the headers of the shards, or what an earlier run kept of them.

    Raises:
        ValueError: where a file is no plain tar file, or pictures and labels do not go together.
    """
    known = [(str(shard.resolve()), stat.st_size, stat.st_mtime_ns) for shard in shards for stat in [shard.stat()]]
    kept = cache / f"{hashlib.sha256(repr((2, known)).encode()).hexdigest()[:16]}.npz" if cache else None
    if kept and (index := _kept(kept, [size for _, size, _ in known])):
        return index
    with ThreadPoolExecutor(16) as pool:  # it is the disk that takes long
        found = list(pool.map(_pictures, shards))
    rows = [(number, *row) for number, part in enumerate(found) for row in part]
    shard, name, offset, size, label = zip(*rows, strict=True) if rows else ([],) * 5
    index = Index(
        np.array(shard, np.int32), Names.of(name), *(np.array(column, np.int64) for column in (offset, size, label))
    )
    if kept:
        _keep(index, kept)
    return index


def _kept(file: Path, sizes: Sequence[int]) -> Index | None:
    """The index that an earlier run kept of shards of these sizes; None where there is none that fits them."""
    try:
        with np.load(file) as arrays:
            columns = [arrays[name] for name in ("shard", "offset", "size", "label")]
            name = Names(arrays["text"], arrays["end"])
    except (OSError, ValueError, LookupError, EOFError, MemoryError, zipfile.BadZipFile):
        return None
    shard, offset, size, label = columns
    if not name.sound() or {(each.ndim, each.shape) for each in columns} != {(1, (len(name),))}:
        return None
    if [each.dtype for each in columns] != [np.dtype(np.int32), *[np.dtype(np.int64)] * 3] or not len(name):
        return None
    if shard.min() < 0 or shard.max() >= len(sizes) or min(offset.min(), size.min()) < 0 or label.min() < NO_LABEL:
        return None
    inside = offset + size <= np.array(sizes)[shard]
    return Index(shard, name, offset, size, label) if inside.all() and label.max() < MOST_CLASSES else None


def _keep(index: Index, file: Path) -> None:
    """Write the index whole or not at all; without room for it, it is read anew next time."""
    partial = file.with_name(f"{file.stem}.{os.getpid()}.npz")
    columns = index._asdict()
    name: Names = columns.pop("name")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, text=name.text, end=name.end, **columns)
        partial.replace(file)


def _pictures(shard: Path) -> list[tuple[bytes, int, int, int]]:
    """Name, offset, size and label of the pictures of one shard; members of one sample share their name up to the first dot."""
    pictures: dict[str, Member] = {}
    named: dict[str, Member] = {}  # 0001.image.jpg, which is the picture where there is no 0001.jpg
    labels: dict[str, int] = {}
    try:
        refuse_special(shard)
        with shard.open("rb") as stream:
            for member in members(stream):
                folder, _, base = os.fsdecode(member.name).rpartition("/")
                stem, extension = _split(base)
                sample, suffix = f"{folder}/{stem}", os.path.splitext(base)[1].lower()
                if suffix in suffixes():
                    (pictures if suffix == f".{extension.lower()}" else named).setdefault(sample, member)
                elif extension == "cls":
                    labels[sample] = _label(stream, member)
    except ValueError as error:
        raise ValueError(
            f"{printable(shard)} is no shard that can be read in place ({error}); it has to be a plain .tar file, not "
            "compressed, with a picture and its class as a number, e.g. 0001.jpg and 0001.cls; copy it again if it is damaged"
        ) from error
    return [(*where, labels.get(sample, NO_LABEL)) for sample, where in (named | pictures).items()]


def _split(base: str) -> tuple[str, str]:
    """A name -> key and extension: it is cut at the first dot, but what begins with a digit (img.0001.jpg) is of the key."""
    parts = base.split(".")
    last = max((i for i in range(1, len(parts) - 1) if parts[i][:1].isdigit()), default=0)
    return ".".join(parts[: last + 1]), ".".join(parts[last + 1 :])


def _label(stream: BinaryIO, member: Member) -> int:
    """The number in a member."""
    stream.seek(member.offset)
    content, name = stream.read(min(member.size, 32)).strip(), printable(os.fsdecode(member.name), 60)
    if re.fullmatch(b"[0-9]{1,30}", content) is None or member.size > 32:
        raise ValueError(f"the class in {name} is '{printable(content.decode('latin-1'), 40)}', no number")
    if int(content) >= MOST_CLASSES:
        raise ValueError(f"{name} says class {int(content):,}; at most {MOST_CLASSES:,} classes are told apart")
    return int(content)
