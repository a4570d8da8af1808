"""`.metadata` of a sharded checkpoint: which tensor lies where, read without running anything
(inert_pickle.py).

torch unpickles the file as it is. Here only what describes tensors in files of the same folder is
made of its records.
"""

import itertools
import math
import os
import pickle
from collections.abc import ItemsView, Iterator, Sequence
from pathlib import Path

import torch
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)

from mim.checkpoint.inert_pickle import Name, Record, read_pickle
from mim.plain import printable, refuse_special

LARGEST = 2**28  # bytes; 64 processes of a ViT-H with its optimiser write less than 2**26
DEEPEST = 16  # dictionaries in dictionaries
Box = tuple[tuple[int, int], ...]
"""Part of a tensor: start and length along each side."""
DTYPES = {
    f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)
}
_MODULES = (
    "torch.distributed.checkpoint.metadata",
    "torch.distributed.checkpoint.filesystem",
    "pathlib",
    "pathlib._local",
)
_NAMES = {
    *DTYPES,
    *("torch.Size", "torch.serialization._get_layout"),
    *(f"{module}.{name}" for module in _MODULES[2:] for name in ("PosixPath", "WindowsPath")),
    f"{_MODULES[1]}._StorageInfo",
    *(
        f"{_MODULES[0]}.{name}"
        for name in ("Metadata", "MetadataIndex", "StorageMeta", "ChunkStorageMetadata")
    ),
    *(
        f"{_MODULES[0]}.{name}"
        for name in ("TensorStorageMetadata", "BytesStorageMetadata", "TensorProperties")
    ),
    f"{_MODULES[0]}._MEM_FORMAT_ENCODING",
}


def read_metadata(folder: Path) -> Metadata:
    """Which tensor lies where in a folder.

    Raises:
        ValueError: where the file is damaged, names anything but what describes tensors, or
            describes what the folder does not hold: chunks that are missing, overlap or leave a
            gap, files elsewhere, more than a file has.
    """
    file = folder / ".metadata"
    refuse_special(file)
    if file.stat().st_size > LARGEST:
        raise ValueError(
            f"{printable(file)} has {file.stat().st_size:,} bytes; at most {LARGEST:,} are read"
        )
    try:
        root = read_pickle(file.read_bytes(), _NAMES)
        return _Reader(folder).metadata(root)
    except (
        pickle.UnpicklingError,
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        UnicodeError,
        RecursionError,
    ) as error:
        raise ValueError(
            f"{printable(file)} is cut off, damaged or no metadata of a checkpoint "
            f"({type(error).__name__}: "
            f"{printable(error, 100)}); copy the folder again"
        ) from error


class _Reader:
    """Makes the description of the tensors in a folder out of records."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.sizes: dict[str, int] = {}

    def metadata(self, root: object) -> Metadata:
        state = self._state(root, "Metadata")
        entries = {
            self._text(key): self._tensor(key, entry)
            for key, entry in self._dict(state["state_dict_metadata"])
        }
        paths = {
            self._text(key): self._path(path) for key, path in self._dict(state["planner_data"])
        }
        stored = dict(itertools.starmap(self._stored, self._dict(state["storage_data"])))
        if paths.keys() != entries.keys():
            raise self._refused("names tensors that it does not place")
        for key, entry in entries.items():
            self._check_chunks(key, entry, stored)
        metadata = Metadata(dict(entries), paths, stored, StorageMeta())
        version = state.get("version")
        metadata.version = version if isinstance(version, str) else None
        return metadata

    def _tensor(self, key: object, entry: object) -> TensorStorageMetadata:
        if type(entry) is Record and entry.name.endswith(".BytesStorageMetadata"):
            raise self._refused(
                "holds more than tensors, which would be run to be read; it is none of ours"
            )
        state = self._state(entry, "TensorStorageMetadata")
        properties = self._content(state["properties"], "TensorProperties")
        dtype = properties[0] if type(properties) is tuple else None
        if type(dtype) is not Name or dtype not in DTYPES:
            raise self._refused(f"gives {printable(key, 100)} no type of numbers")
        size = self._size(state["size"])
        listed = state["chunks"]
        if not isinstance(listed, list):
            raise self._refused(f"has no list of the chunks of {printable(key, 100)}")
        chunks = [self._state(chunk, "ChunkStorageMetadata") for chunk in listed]
        return TensorStorageMetadata(
            TensorProperties(DTYPES[dtype]),
            size,
            [
                ChunkStorageMetadata(self._size(chunk["offsets"]), self._size(chunk["sizes"]))
                for chunk in chunks
            ],
        )

    def _check_chunks(
        self, key: str, entry: TensorStorageMetadata, stored: dict[MetadataIndex, _StorageInfo]
    ) -> None:
        """Together they are the tensor: inside of it, without a gap, each once, and as long as its
        file says.
        """
        name, size = printable(key, 100), entry.size
        found: list[Box] = []
        chunks = [chunk for chunk in entry.chunks if math.prod(chunk.sizes) or not math.prod(size)]
        for chunk in chunks:
            box = list(zip(chunk.offsets, chunk.sizes, strict=False))
            inside = len(chunk.offsets) == len(chunk.sizes) == len(size)
            if not inside or any(
                start + length > whole for (start, length), whole in zip(box, size, strict=True)
            ):
                raise self._refused(f"has a chunk outside of {name}")
            info = stored.get(MetadataIndex(key, chunk.offsets))
            if (
                info is None
                or info.length < math.prod(chunk.sizes) * entry.properties.dtype.itemsize
            ):
                raise self._refused(f"does not hold all numbers of {name}")
            found.append(tuple(box))
        boxes = sorted(set(found))
        covered = sum(math.prod(length for _, length in box) for box in boxes)
        apart = all(_apart(a, b) for a, b in _neighbours(boxes))
        if not boxes or covered != math.prod(size) or not apart or len(boxes) != len(chunks):
            raise self._refused(f"has chunks of {name} that leave a gap or overlap")

    def _stored(self, key: object, value: object) -> tuple[MetadataIndex, _StorageInfo]:
        index, info = self._state(key, "MetadataIndex"), self._state(value, "_StorageInfo")
        file = info["relative_path"]
        offset, length = self._number(info["offset"]), self._number(info["length"])
        if info.get("transform_descriptors"):
            raise self._refused("has packed chunks; it is none of ours")
        if type(file) is not str or Path(file).name != file or file in (".", ".."):
            raise self._refused(
                f"looks for {printable(file, 100)}, which is no name of a file beside it"
            )
        if offset + length > self._bytes_of(file):
            raise self._refused(f"wants more bytes than {printable(file, 100)} has")
        at = None if index.get("offset") is None else self._size(index["offset"])
        return MetadataIndex(self._text(index["fqn"]), at), _StorageInfo(file, offset, length)

    def _bytes_of(self, file: str) -> int:
        if file not in self.sizes:
            path = self.folder / file
            refuse_special(path)
            if not path.is_file():
                raise self._refused(f"needs {printable(file, 100)}, which is not there")
            self.sizes[file] = os.path.getsize(path)
        return self.sizes[file]

    def _state(self, record: object, name: str) -> dict[str, object]:
        state = self._content(record, name)
        if type(state) is not dict:
            raise self._refused(f"has no {name} where one should be")
        return state

    def _content(self, record: object, name: str) -> object:
        if type(record) is not Record or record.name.rpartition(".")[2] != name:
            raise self._refused(f"has no {name} where one should be")
        return record.state

    def _size(self, record: object) -> torch.Size:
        if type(record) is not Record or record.name != "torch.Size":
            raise self._refused("has no size where one should be")
        arguments = record.arguments
        if type(arguments) is not tuple or len(arguments) > 1:
            raise self._refused("has no size where one should be")
        numbers = arguments[0] if arguments else ()
        if type(numbers) not in (tuple, list) or len(numbers) > DEEPEST:
            raise self._refused("has a size that is no list of numbers")
        return torch.Size([self._number(number, 2**40) for number in numbers])

    def _number(self, value: object, most: float = float("inf")) -> int:
        if type(value) is not int or not 0 <= value < most:
            raise self._refused("has a size or a place that is no number")
        return value

    def _path(self, path: object) -> tuple[str, ...]:
        if type(path) is not tuple or not 1 <= len(path) <= DEEPEST:
            raise self._refused("places a tensor nowhere, or too deep")
        return tuple(self._text(part) for part in path)

    def _text(self, value: object) -> str:
        if type(value) is not str:
            raise self._refused("has a name that is no text")
        return value

    def _dict(self, value: object) -> ItemsView[object, object]:
        if type(value) is not dict:
            raise self._refused("lacks one of its three tables")
        return value.items()

    def _refused(self, why: str) -> ValueError:
        return ValueError(f"{printable(self.folder)} {why}; copy the folder again")


def _neighbours(boxes: Sequence[Box]) -> Iterator[tuple[Box, Box]]:
    """Pairs that may overlap: all of a few, those that follow each other of many, which are cut
    along one side.
    """
    return itertools.combinations(boxes, 2) if len(boxes) <= 256 else itertools.pairwise(boxes)


def _apart(a: Box, b: Box) -> bool:
    """Whether two boxes, (start, length) along each side, have nothing in common."""
    return any(x + m <= y or y + n <= x for (x, m), (y, n) in zip(a, b, strict=True))
