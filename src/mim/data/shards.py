"""Where the pictures of tar files lie, so that each can be read in place."""

import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mim.data.decode import suffixes
from mim.data.files import Files
from mim.data.levels import COLOURS, Reading
from mim.data.listing import counted
from mim.data.names import Names
from mim.data.shard_labels import CLASS_KEYS, MOST_CLASSES, label_in_json, label_of
from mim.data.tar import Member, members
from mim.plain import printable, refuse_special

NO_LABEL = -1
BESIDE = "index.npz"
"""The index that lies beside shards that we wrote."""
UNREADABLE = (OSError, ValueError, LookupError, EOFError, MemoryError, zipfile.BadZipFile)
"""What NumPy raises of a file that is no index."""


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
    left_out: str = ""
    """What lies in the shards and is not looked at, in one line; empty without."""


class Members(Files):
    """Pictures in tar files, numbered.

    Args:
        shards: the tar files.
        index: of their pictures.
        reading: how they become pictures: channels, range, and the largest that is decoded.
    """

    def __init__(self, shards: Sequence[Path], index: Index, reading: Reading = COLOURS):
        names = (os.fsdecode(index.name[number]) for number in range(len(index.name)))
        super().__init__(names, index.label, reading)
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
        content = bytearray(size)
        # straight to its place
        with open(self._shards[self._index.shard[number]], "rb", buffering=0) as file:
            file.seek(int(self._index.offset[number]))
            found = file.readinto(content)
        return torch.frombuffer(content, dtype=torch.uint8)[:found]


def index_of(shards: Sequence[Path], cache: Path | None = None) -> Index:
    """Read the headers of the shards, or the index beside them, or what an earlier run kept of
    them.

    Raises:
        ValueError: where a file is no plain tar file, or pictures and labels do not go together.
    """
    if shards and (index := _beside(shards)):
        return index
    known = [
        (str(shard.resolve()), stat.st_size, stat.st_mtime_ns)
        for shard in shards
        for stat in [shard.stat()]
    ]
    kept = (
        cache / f"{hashlib.sha256(repr((3, known)).encode()).hexdigest()[:16]}.npz"
        if cache
        else None
    )
    if kept and (index := _kept(kept, [size for _, size, _ in known])):
        return index
    index = _read(shards)
    if kept:
        _keep(index, kept)
    return index


def _read(shards: Sequence[Path]) -> Index:
    """Read the headers of the shards."""
    with ThreadPoolExecutor(16) as pool:  # it is the disk that takes long
        found = list(pool.map(_pictures, shards))
    rows = [(number, *row) for number, part in enumerate(found) for row in part.pictures]
    shard, name, offset, size, label = zip(*rows, strict=True) if rows else ([],) * 5
    return Index(
        np.array(shard, np.int32),
        Names.of(name),
        np.array(offset, np.int64),
        np.array(size, np.int64),
        np.array(label, np.int64),
        _said(found),
    )


def keep_beside(shards: Sequence[Path]) -> int:
    """Write the index of shards of one folder into it, `index.npz` -> how many pictures they
    hold.
    """
    index = _read(shards)
    _keep(index, shards[0].parent / BESIDE, shards=np.array(_names_and_sizes(shards)))
    return len(index.name)


def _beside(shards: Sequence[Path]) -> Index | None:
    """The index that lies beside shards, where it is of these, in this order; None where there is
    none that fits them.
    """
    file = shards[0].parent / BESIDE
    if not file.is_file() or {shard.parent for shard in shards} != {file.parent}:
        return None
    try:
        with np.load(file) as arrays:
            same = arrays["shards"].tolist() == _names_and_sizes(shards)
    except UNREADABLE:
        return None
    return _kept(file, [shard.stat().st_size for shard in shards]) if same else None


def _names_and_sizes(shards: Sequence[Path]) -> list[str]:
    return [f"{shard.stat().st_size} {shard.name}" for shard in shards]


def _kept(file: Path, sizes: Sequence[int]) -> Index | None:
    """The index that an earlier run kept of shards of these sizes; None where there is none that
    fits them.
    """
    try:
        with np.load(file) as arrays:
            columns = [arrays[name] for name in ("shard", "offset", "size", "label")]
            name, left_out = Names(arrays["text"], arrays["end"]), arrays["left_out"]
    except UNREADABLE:
        return None
    shard, offset, size, label = columns
    if left_out.dtype.kind != "U" or left_out.shape or left_out.nbytes > 2**14:
        return None
    if not name.sound() or {(each.ndim, each.shape) for each in columns} != {(1, (len(name),))}:
        return None
    if [each.dtype for each in columns] != [
        np.dtype(np.int32),
        *[np.dtype(np.int64)] * 3,
    ] or not len(name):
        return None
    if (
        shard.min() < 0
        or shard.max() >= len(sizes)
        or min(offset.min(), size.min()) < 0
        or label.min() < NO_LABEL
    ):
        return None
    inside = offset + size <= np.array(sizes)[shard]
    whole = inside.all() and label.max() < MOST_CLASSES
    return Index(shard, name, offset, size, label, str(left_out)) if whole else None


def _keep(index: Index, file: Path, **more: NDArray) -> None:
    """Write the index whole or not at all; without room for it, it is read anew next time."""
    partial = file.with_name(f"{file.stem}.{os.getpid()}.npz")
    columns: dict[str, Any] = index._asdict() | more
    name: Names = columns.pop("name")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, text=name.text, end=name.end, **columns)
        partial.replace(file)


class _Found(NamedTuple):
    """What lies in one shard."""

    pictures: list[tuple[bytes, int, int, int]]
    """Name, offset, size and label."""
    further: list[str]
    """Pictures of samples that have one already."""
    without_class: list[str]
    """`.json` beside pictures that have no class, neither there nor elsewhere."""
    others: Counter[str]
    """What is neither, by extension."""


def _pictures(shard: Path) -> _Found:
    """The pictures of one shard; members of one sample share their name up to the first dot."""
    pictures: dict[str, Member] = {}
    named: dict[str, Member] = {}  # 0001.image.jpg, which is the picture where there is no 0001.jpg
    further: list[Member] = []
    labels: dict[str, int] = {}
    described: dict[str, Member] = {}
    others = Counter[str]()
    try:
        refuse_special(shard)
        with shard.open("rb") as stream:
            for member in members(stream):
                folder, _, base = os.fsdecode(member.name).rpartition("/")
                stem, extension = _split(base)
                sample, suffix = f"{folder}/{stem}", os.path.splitext(base)[1].lower()
                if suffix in suffixes():
                    known = pictures if suffix == f".{extension.lower()}" else named
                    if sample in known:
                        further.append(member)
                    known.setdefault(sample, member)
                elif extension == "cls":
                    labels[sample] = label_of(stream, member)
                elif extension == "json":
                    described[sample] = member
                else:
                    others[suffix or "without a suffix"] += 1
            for sample, member in described.items():
                alone = (sample in pictures or sample in named) and sample not in labels
                label = label_in_json(stream, member) if alone else None
                if label is not None:
                    labels[sample] = label
    except ValueError as error:
        raise ValueError(
            f"{printable(shard)} is no shard that can be read in place ({error}); it has to be a "
            "plain .tar file, not "
            "compressed, with a picture and its class as a number, e.g. 0001.jpg and 0001.cls; "
            "copy it again if it is damaged"
        ) from error
    chosen = named | pictures
    further += [named[sample] for sample in named if sample in pictures]
    return _Found(
        [(*where, labels.get(sample, NO_LABEL)) for sample, where in chosen.items()],
        [os.fsdecode(member.name) for member in further],
        [
            os.fsdecode(described[sample].name)
            for sample in described
            if sample in chosen and sample not in labels
        ],
        others,
    )


def _said(found: Iterable[_Found]) -> str:
    """What is not looked at, in one line."""
    further, without = (
        [name for each in found for name in each.further],
        [n for each in found for n in each.without_class],
    )
    parts = []
    if without:
        keys = f"{', '.join(CLASS_KEYS[:-1])} or {CLASS_KEYS[-1]}"
        parts.append(
            f"{len(without):,} .json without a class ({keys}), such as {printable(without[0], 100)}"
        )
    if further:
        parts.append(
            f"{len(further):,} further picture(s) of a sample, such as {printable(further[0], 100)}"
        )
    others = sum((each.others for each in found), Counter[str]())
    return "; ".join([*parts, *([counted(others)] if others else [])])


def _split(base: str) -> tuple[str, str]:
    """A name -> key and extension: it is cut at the first dot, but what begins with a digit
    (img.0001.jpg) is of the key.
    """
    parts = base.split(".")
    last = max((i for i in range(1, len(parts) - 1) if parts[i][:1].isdigit()), default=0)
    return ".".join(parts[: last + 1]), ".".join(parts[last + 1 :])
