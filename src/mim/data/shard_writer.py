"""Shards that are fast to read: every picture resized once, in tar files of the layout of
WebDataset, with their index.
"""

import json
import os
import tarfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mim.cores import available_cores
from mim.data.decode import read_values
from mim.data.files import Files
from mim.data.from_files import FromFiles
from mim.data.shard_index import keep_beside
from mim.data.splits import Splits
from mim.data.webdataset import CLASSES
from mim.plain import printable, read_json

ABOUT = "shards.json"
KEPT = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""Formats of pictures that are small enough already, whose bytes are copied."""


class Shape(NamedTuple):
    """What shards are made of."""

    size: int
    """Pixels of the short side; smaller pictures stay as they are."""
    quality: int = 95
    """Of JPEG, 1 to 100."""
    format: Literal["jpg", "png"] = "jpg"
    """Of pictures of 8 bits with one or three channels; png loses nothing."""
    per_shard: int = 1000
    """Pictures."""


class Written(NamedTuple):
    """What was written."""

    shards: list[Path]
    pictures: int
    already: int
    """Shards that an earlier call had written."""
    bytes: int


def write_shards(
    splits: Splits,
    out: Path,
    shape: Shape,
    origin: str,
    progress: Callable[[int], None] = lambda done: None,
) -> Written:
    """Write `train-000000.tar`, .., `val-000000.tar`, .., `classes.txt` and `index.npz`; a second
    call goes on.

    Training pictures are shuffled, always alike, so that shards can be read as a stream by others.

    Args:
        splits: of a data set of files.
        out: folder, empty or of the same shards.
        shape: what they are made of.
        origin: of the pictures, for `shards.json`.
        progress: told how many pictures are done.

    Raises:
        ValueError: where the folder holds other shards, or the data set is not one of files.
    """
    if not isinstance(splits.train, FromFiles) or not isinstance(splits.val, FromFiles):
        raise ValueError(
            "shards are made of picture files; this data set keeps its pictures otherwise"
        )
    files, classes = splits.train.files, splits.classes
    shuffled = splits.train.numbers[
        torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(0))
    ]
    plan = [
        *_plan("train", shuffled, shape.per_shard),
        *_plan("val", splits.val.numbers, shape.per_shard),
    ]
    _claim(out, shape, origin, len(files), classes)
    done = already = 0
    with ThreadPoolExecutor(available_cores()) as pool:
        for name, numbers in plan:
            shard = out / name
            already += shard.exists()
            if not shard.exists():
                made = pool.map(lambda number: _encoded(files, number, shape), numbers)
                _write(shard, files.label, zip(numbers, made, strict=True), bool(classes))
                files.check()
            done += len(numbers)
            progress(done)
    shards = [out / name for name, _ in plan]
    pictures = keep_beside(shards)
    return Written(shards, pictures, already, sum(shard.stat().st_size for shard in shards))


def _plan(part: str, numbers: Tensor, per_shard: int) -> list[tuple[str, list[int]]]:
    return [
        (f"{part}-{i:06}.tar", some.tolist()) for i, some in enumerate(numbers.split(per_shard))
    ]


def _claim(out: Path, shape: Shape, origin: str, pictures: int, classes: Sequence[str]) -> None:
    """Say what the folder holds; refuse one that holds something else."""
    about = {"origin": origin, "pictures": pictures, **shape._asdict()}
    known = read_json(out / ABOUT) if (out / ABOUT).exists() else None
    if known is None and out.exists() and any(out.iterdir()):
        raise ValueError(f"--out={printable(out)} is not empty; give a new folder")
    if known is not None and known != about:
        differs = [
            key for key in about if not isinstance(known, dict) or known.get(key) != about[key]
        ]
        raise ValueError(
            f"--out={printable(out)} holds other shards ({', '.join(differs)} differ); give a new "
            "folder, or delete it"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / CLASSES).write_text("".join(f"{name}\n" for name in classes), "utf-8")
    (out / ABOUT).write_text(json.dumps(about, indent=2) + "\n")


def _write(
    shard: Path, label: Tensor, made: Iterator[tuple[int, tuple[str, bytes] | None]], classes: bool
) -> None:
    """A shard, whole or not at all; pictures that cannot be read are left out."""
    partial = shard.with_name(f".{shard.name}.{os.getpid()}")
    with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, encoded in made:
            if encoded is not None:
                suffix, content = encoded
                _add(tar, f"{number:09}.{suffix}", content)
                if classes:
                    _add(tar, f"{number:09}.cls", str(int(label[number])).encode())
    partial.replace(shard)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, BytesIO(content))


def _encoded(files: Files, number: int, shape: Shape) -> tuple[str, bytes] | None:
    """Suffix and bytes of a picture whose short side is no more than asked for; None where it
    cannot be read.
    """
    reading = files.reading._replace(channels=0)
    found = files.tried(number, lambda content: read_values(content, reading))
    if found is None:
        return None
    if found.format in KEPT and min(found.values.shape[1:]) <= shape.size:
        return KEPT[found.format], files.content(number).numpy().tobytes()
    return _encode(_resized(found.values, shape.size), shape, files.path(number))


def _resized(values: NDArray, size: int) -> NDArray:
    """Values (c, H, W) with a short side of at most `size`, of the same type."""
    if min(values.shape[1:]) <= size:
        return values
    height, width = values.shape[1:]
    short = min(height, width)
    sides = [max(size, round(side * size / short)) for side in (height, width)]
    pixels = torch.from_numpy(values if values.dtype == np.uint8 else values.astype(np.float32))
    made = F.resize(pixels, sides, F.InterpolationMode.BICUBIC, antialias=True).numpy()
    if values.dtype.kind in "ui":
        ends = np.iinfo(values.dtype)
        made = made.round().clip(ends.min, ends.max)
    return made.astype(values.dtype)


def _encode(values: NDArray, shape: Shape, path: str) -> tuple[str, bytes]:
    stream, (channels, _, _) = BytesIO(), values.shape
    if values.dtype == np.uint16 and channels in (3, 4):
        warnings.warn(
            "colours of 16 bits are written with 8; train on the files themselves where the rest "
            "matters",
            stacklevel=2,
        )
        values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if values.dtype == np.uint8 and channels in (1, 3, 4):
        picture = Image.fromarray(
            values[0] if channels == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))
        )
        if shape.format == "jpg" and channels != 4:
            picture.save(stream, "JPEG", quality=shape.quality)
            return "jpg", stream.getvalue()
    elif values.dtype == np.uint16 and channels == 1:
        picture = Image.fromarray(values[0])
    else:
        raise ValueError(
            f"{printable(path)} has {channels} channels of {values.dtype}; shards hold 8 bits of "
            "1, 3 or 4 channels, "
            "or 16 bits of grey: train on the files themselves"
        )
    picture.save(stream, "PNG", compress_level=1)
    return "png", stream.getvalue()
