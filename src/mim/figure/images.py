"""The few images of a figure: held-out ones of a data set, or picture files."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mim.augment.centre import CentreCrop
from mim.batch import Batch
from mim.data.decode import decode
from mim.data.files import Files
from mim.data.levels import Reading
from mim.data.module import Data
from mim.data.sampler import Rows
from mim.image_format import Range
from mim.ranges import Size


class Images(NamedTuple):
    """Images that a figure is drawn of."""

    image: Tensor
    """(B, C, H, W) in [0, 1]."""
    names: list[str]
    """Of each: its number among the held-out images, or its file."""


def held_out(data: Data, count: int, rows: Sequence[int] | None = None) -> Images:
    """Held-out images of a data module, clean: those of the given numbers, or `count` evenly
    spread.

    Raises:
        ValueError: where there are not so many.
    """
    data.setup()
    there = len(data.splits.val)
    if rows is None:
        rows = evenly_spread(count, there)
    if not rows or min(rows) < 0 or max(rows) >= there:
        raise ValueError(
            f"--rows={' '.join(map(str, rows))}: {type(data).__name__} holds out {there} images, 0 "
            f"to {there - 1}"
        )
    index = torch.tensor(rows)
    batch = data.on_after_batch_transfer(data.splits.val[Rows(index, torch.zeros_like(index))])
    mean, std = (per_channel(values) for values in (data.mean, data.std))
    return Images((batch.image * std + mean).clamp(0, 1), [str(row) for row in rows])


def evenly_spread(count: int, there: int) -> list[int]:
    """So many numbers below `there`, all of them where it has fewer, at equal distances."""
    return torch.linspace(0, there - 1, min(count, there) + 2)[1:-1].round().long().tolist()


def read_files(files: Sequence[Path], size: Size, channels: int = 3, range: Range = None) -> Images:
    """Pictures, resized by the short side and cut to the centre, as data sets show held-out ones.

    Raises:
        ValueError: where a file is no picture.
    """
    return Images(
        torch.cat([_read(file, size, channels, range) for file in files]),
        [file.stem for file in files],
    )


def _read(file: Path, size: Size, channels: int, range: Range) -> Tensor:
    try:
        picture = decode(
            Files([str(file)], [-1]).content(0), Reading(channels=channels, range=range)
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no {file}; --files takes pictures") from error
    except IsADirectoryError as error:
        raise ValueError(f"{file} is a folder; --files takes pictures, {file}/*") from error
    except Exception as error:  # decoders raise what they like
        raise ValueError(
            f"{file} is no picture that can be read: {' '.join(str(error).split())}"
        ) from error
    (view,) = CentreCrop(size)([picture], torch.zeros(1, dtype=torch.int64))
    return view.image.float() / 255


def batch_of(image: Tensor, mean: Sequence[float], std: Sequence[float], seed: int = 0) -> Batch:
    """Images (B, C, H, W) in [0, 1] as a model is given them: normalised, whole, and masked by a
    seed.
    """
    return Batch.of((image - per_channel(mean)) / per_channel(std), seed)


def per_channel(values: Sequence[float]) -> Tensor:
    """A number for each channel -> (C, 1, 1)."""
    return torch.tensor(list(values)).view(-1, 1, 1)
