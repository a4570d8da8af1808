"""Index of shards: where the pictures of tar files lie, kept so that it is read once."""

import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mim.data.names import Names
from mim.data.shard_contents import contents_of, left_out_of
from mim.data.shard_labels import MOST_CLASSES, NO_LABEL, numbered
from mim.plain import printable

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
    words: tuple[str, ...] = ()
    """What the labels number; empty where classes are numbers."""


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
        cache / f"{hashlib.sha256(repr((4, known)).encode()).hexdigest()[:16]}.npz"
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
        found = list(pool.map(contents_of, shards))
    rows = [(number, *row) for number, part in enumerate(found) for row in part.pictures]
    shard, name, offset, size, classes = zip(*rows, strict=True) if rows else ([],) * 5
    label, words = numbered(
        classes, lambda i: printable(f"{shards[shard[i]].name}/{os.fsdecode(name[i])}", 200)
    )
    return Index(
        np.array(shard, np.int32),
        Names.of(name),
        np.array(offset, np.int64),
        np.array(size, np.int64),
        label,
        left_out_of(found),
        tuple(words),
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
            words = _words(arrays) if "words_end" in arrays else ()  # not so long ago
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
    whole = inside.all() and label.max() < (len(words) or MOST_CLASSES)
    return Index(shard, name, offset, size, label, str(left_out), words) if whole else None


def _words(arrays: Mapping[str, NDArray]) -> tuple[str, ...]:
    """Words that an index keeps.

    Raises:
        ValueError: where they are none that it would.
    """
    words = Names(arrays["words_text"], arrays["words_end"])
    if not words.sound() or len(words) > MOST_CLASSES:
        raise ValueError
    return tuple(words[number].decode() for number in range(len(words)))


def _keep(index: Index, file: Path, **more: NDArray) -> None:
    """Write the index whole or not at all; without room for it, it is read anew next time."""
    partial = file.with_name(f"{file.stem}.{os.getpid()}.npz")
    words = Names.of(word.encode() for word in index.words)
    columns: dict[str, NDArray] = {
        "text": index.name.text,
        "end": index.name.end,
        "shard": index.shard,
        "offset": index.offset,
        "size": index.size,
        "label": index.label,
        "left_out": np.array(index.left_out),
        "words_text": words.text,
        "words_end": words.end,
    }
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, allow_pickle=False, **columns, **more)
        partial.replace(file)
