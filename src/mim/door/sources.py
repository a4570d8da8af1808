"""Sources of images: a folder, files, a tensor, or a data set, in batches from any place on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mim.cores import available_cores
from mim.data.files import Files
from mim.data.folders import role
from mim.data.levels import Reading
from mim.data.listing import class_names, find_pictures
from mim.data.loader import Loader
from mim.data.module import Data
from mim.door.data_sources import DataSource, Items, ItemSource
from mim.door.preprocess import Preprocess, as_images
from mim.door.source import Images, Source
from mim.plain import printable


class FileSource:
    """Source of picture files, which worker processes decode.

    Args:
        paths: one for each picture.
        labels: names of their classes; empty without.
        preprocess: cuts and normalises them.
        workers: processes; None for one for each core, 16 at most.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: Sequence[str],
        preprocess: Preprocess,
        workers: int | None = None,
    ):
        reading = Reading(channels=preprocess.images.channels, range=preprocess.images.range)
        self.files, self.labels, self.preprocess = (
            Files(paths, [-1] * len(paths), reading),
            labels,
            preprocess,
        )
        self.workers = min(16, available_cores()) if workers is None else workers

    def __len__(self) -> int:
        return len(self.files)

    def path(self, number: int) -> str:
        return self.files.path(number)

    def label(self, number: int) -> str:
        return self.labels[number] if self.labels else ""

    def batches(self, numbers: Tensor, batch_size: int) -> Iterator[Images]:
        """Images of these numbers; unreadable ones are left out, with a warning.

        Raises:
            ValueError: where more than 1 % of them cannot be read.
        """
        decoded = _Decoded(self.files, self.preprocess)
        workers = self.workers if len(numbers) > batch_size else 0
        for number, image in Loader(
            decoded, sampler=numbers.split(batch_size), batch_size=None, num_workers=workers
        ):
            self.files.check()
            yield Images(number, self.preprocess.normalise(image))


class _Decoded(Dataset[tuple[Tensor, Tensor]]):
    """Batches of files, cut, as uint8."""

    def __init__(self, files: Files, preprocess: Preprocess):
        self.files, self.preprocess = files, preprocess

    def __getitem__(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        read = [(number, self.files.read(number)) for number in numbers.tolist()]
        kept = [
            (number, self.preprocess.cut(_in_0_1(picture)))
            for number, picture in read
            if picture is not None
        ]
        height, width = self.preprocess.image_size
        channels = self.preprocess.images.channels
        images = [image for _, image in kept] or [
            torch.zeros(0, channels, height, width, dtype=torch.uint8)
        ]
        return torch.tensor([number for number, _ in kept], dtype=torch.int64), (
            _stacked(images) if kept else images[0]
        )


def _stacked(images: Sequence[Tensor]) -> Tensor:
    """Images (C, H, W), uint8 or float in 0..1 -> (B, C, H, W), float where one is."""
    if len({image.dtype for image in images}) == 1:
        return torch.stack(list(images))
    return torch.stack([im / 255 if im.dtype == torch.uint8 else im for im in images])


def _in_0_1(picture: Tensor) -> Tensor:
    """Pixels as a decoder gives them: uint8 as they are, deeper ones from 0..255 to 0..1."""
    return picture if picture.dtype == torch.uint8 else picture / 255


class TensorSource:
    """Source of images in memory.

    Args:
        images: (N, 3, h, w), uint8 or float in 0..1.
        preprocess: normalises them, and cuts them where they are of another size than the
            encoder's.
    """

    def __init__(self, images: Tensor, preprocess: Preprocess):
        self.images, self.preprocess = images, preprocess

    def __len__(self) -> int:
        return len(self.images)

    def path(self, number: int) -> str:
        return str(number)

    def label(self, number: int) -> str:
        return ""

    def batches(self, numbers: Tensor, batch_size: int) -> Iterator[Images]:
        for some in numbers.split(batch_size):
            chosen = self.preprocess.fit(self.images[some.to(self.images.device)])
            yield Images(some, self.preprocess.normalise(chosen))


def source_of(
    source: object, preprocess: Preprocess, part: str = "held_out", workers: int | None = None
) -> Source:
    """Source of whatever holds pictures.

    Args:
        source: a folder (the folders in it are classes), a file, a list of files or of pictures, an
            array or a tensor, or a data set of ours or of torchvision's kind.
        preprocess: cuts and normalises them.
        part: of a data set of ours, `held_out` or `training`.
        workers: processes that decode files; None for one for each core.

    Raises:
        FileNotFoundError: where there is no such file, or no picture in the folder.
        ValueError: where it holds no pictures.
    """
    if part not in ("held_out", "training"):
        raise ValueError(f"part={part!r} is none of held_out, training")
    if isinstance(source, str | Path):
        return _of_path(Path(source), preprocess, workers)
    if isinstance(source, np.ndarray | Tensor):
        return TensorSource(
            as_images(source, preprocess.images.channels, preprocess.images.range), preprocess
        )
    if isinstance(source, Data):
        return DataSource(source, part, preprocess)
    if (
        isinstance(source, list | tuple)
        and source
        and all(isinstance(each, str | Path) for each in source)
    ):
        return FileSource([str(each) for each in source], [], preprocess, workers)
    if isinstance(source, Items) and not isinstance(source, dict):
        return ItemSource(source, preprocess)
    raise ValueError(
        f"a {type(source).__name__} holds no pictures; give a folder, a list of files, a tensor or "
        "an array, or a data set"
    )


def _of_path(path: Path, preprocess: Preprocess, workers: int | None) -> Source:
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {printable(path)}; give a folder of pictures, or files"
        )
    if path.is_dir():
        found = find_pictures(path)
        return FileSource([str(path / each) for each in found], _labels(found), preprocess, workers)
    return FileSource([str(path)], [], preprocess, workers)


def _labels(found: Sequence[str]) -> list[str]:
    """Names of the folders that pictures lie in, below train/ and val/; empty where these are no
    classes.
    """
    folders = [Path(each).parts[:-1] for each in found]
    below = [parts[1:] if parts and role(parts[0]) else parts for parts in folders]
    names = [parts[0] if parts else "" for parts in below]
    known = set(class_names(["/".join([*parts, "picture"]) for parts in below]))
    return [name if name in known else "" for name in names] if known else []
