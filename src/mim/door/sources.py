"""Sources of images: a folder, files, a tensor, or a data set, in batches from any place on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mim.cores import available_cores
from mim.data.files import Files
from mim.data.folders import role
from mim.data.from_files import FromFiles
from mim.data.levels import Reading
from mim.data.listing import class_names, find_pictures
from mim.data.loader import Loader
from mim.data.module import Data
from mim.data.sampler import OrderedRows
from mim.door.preprocess import Preprocess, as_images, pixels_of
from mim.geometry import by, pair
from mim.plain import printable


class Images(NamedTuple):
    """Images of a batch, and which they are: a picture that cannot be read is left out."""

    number: Tensor
    """(B,) int64."""
    image: Tensor
    """(B, 3, H, W), normalised."""


class Source(Protocol):
    """Source of images, numbered from 0."""

    def __len__(self) -> int: ...

    def path(self, number: int) -> str:
        """Path of a picture, or its number where it is no file."""

    def label(self, number: int) -> str:
        """Name of its class; empty where it has none."""

    def batches(self, numbers: Tensor, batch_size: int) -> Iterator[Images]:
        """Images of these numbers (N,), in their order."""


class FileSource:
    """Source of picture files, which worker processes decode.

    Args:
        paths: one for each picture.
        labels: names of their classes; empty without.
        preprocess: cuts and normalises them.
        workers: processes; None for one for each core, 16 at most.
    """

    def __init__(self, paths: Sequence[str], labels: Sequence[str], preprocess: Preprocess, workers: int | None = None):
        reading = Reading(channels=preprocess.images.channels)
        self.files, self.labels, self.preprocess = Files(paths, [-1] * len(paths), reading), labels, preprocess
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
        rows: Any = numbers.split(batch_size)
        for number, image in Loader(decoded, sampler=rows, batch_size=None, num_workers=workers):  # type: ignore[misc]
            self.files.check()
            yield Images(number, self.preprocess.normalise(image))


class _Decoded(Dataset[tuple[Tensor, Tensor]]):
    """Batches of files, cut, as uint8."""

    def __init__(self, files: Files, preprocess: Preprocess):
        self.files, self.preprocess = files, preprocess

    def __getitem__(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        read = [(number, self.files.read(number)) for number in numbers.tolist()]
        kept = [(number, self.preprocess.cut(_in_0_1(picture))) for number, picture in read if picture is not None]
        height, width = self.preprocess.image_size
        channels = self.preprocess.images.channels
        images = [image for _, image in kept] or [torch.zeros(0, channels, height, width, dtype=torch.uint8)]
        return torch.tensor([number for number, _ in kept], dtype=torch.int64), (
            torch.stack(images) if kept else images[0]
        )


def _in_0_1(picture: Tensor) -> Tensor:
    """Pixels as a decoder gives them: uint8 as they are, deeper ones from 0..255 to 0..1."""
    return picture if picture.dtype == torch.uint8 else picture / 255


class TensorSource:
    """Source of images in memory.

    Args:
        images: (N, 3, h, w), uint8 or float in 0..1.
        preprocess: normalises them, and cuts them where they are of another size than the encoder's.
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


class ItemSource:
    """Source of a data set of torchvision's kind: a picture, or a picture and its label, by number.

    Args:
        items: has `len` and numbers; pictures of Pillow, arrays or tensors, each uint8 or float in 0..1.
        preprocess: cuts pictures and normalises them.
    """

    def __init__(self, items: Any, preprocess: Preprocess):
        self.items, self.preprocess = items, preprocess
        self.classes: Sequence[str] = getattr(items, "classes", ())
        self.samples: Sequence[Any] = getattr(items, "samples", ())
        self.targets: Sequence[Any] = getattr(items, "targets", ())

    def __len__(self) -> int:
        return len(self.items)

    def path(self, number: int) -> str:
        return str(self.samples[number][0]) if len(self.samples) == len(self) else str(number)

    def label(self, number: int) -> str:
        if len(self.targets) != len(self):
            return ""
        label = int(self.targets[number])
        return str(self.classes[label]) if label < len(self.classes) else str(label)

    def batches(self, numbers: Tensor, batch_size: int) -> Iterator[Images]:
        for some in numbers.split(batch_size):
            images = [self._image(_picture(self.items[number])) for number in some.tolist()]
            yield Images(some, torch.stack(images))

    def _image(self, picture: Any) -> Tensor:
        """Tensors and arrays of the encoder's own size have been cut by somebody; files and Pillow's pictures have not."""
        pixels = pixels_of(picture, self.preprocess.images.channels)
        cut = (
            self.preprocess.fit(pixels[None])[0]
            if isinstance(picture, np.ndarray | Tensor)
            else self.preprocess.cut(pixels)
        )
        return self.preprocess.normalise(cut)


def _picture(item: Any) -> Any:
    """A picture, of an item that may have a label beside it."""
    return item[0] if isinstance(item, tuple | list) else item


class DataSource:
    """Source of a data set of ours, as it shows clean images, normalised as the encoder was trained.

    Args:
        data: the data module.
        part: those held out, or those of the training.
        preprocess: normalises images; None for the data set's own normalisation.

    Raises:
        ValueError: where its images have another size than the encoder's.
    """

    def __init__(self, data: Data, part: str, preprocess: Preprocess):
        side, own = pair(data.image_size), pair(preprocess.image_size)
        if side != own:
            asked, given = (size[0] if size[0] == size[1] else f"[{size[0]},{size[1]}]" for size in (own, side))
            raise ValueError(
                f"{type(data).__name__} shows images of {by(side)}, and the encoder sees {by(own)}; give "
                f"data.image_size={asked}, or open it with image_size={given}"
            )
        if data.channels != preprocess.images.channels:
            raise ValueError(
                f"{type(data).__name__} shows images of {data.channels} channels, and the encoder sees "
                f"{preprocess.images.channels}; give data.channels={preprocess.images.channels}"
            )
        data.setup()
        self.data, self.part, self.preprocess = data, part, preprocess
        self.pictures: Any = data.splits.val if part == "held_out" else data.splits.bank

    def __len__(self) -> int:
        return len(self.pictures)

    def path(self, number: int) -> str:
        if isinstance(self.pictures, FromFiles):
            return self.pictures.files.path(int(self.pictures.numbers[number]))
        return f"{self.part}/{number}"

    def label(self, number: int) -> str:
        label = int(self.pictures.label[number])
        return self.data.classes[label] if 0 <= label < len(self.data.classes) else ""

    def batches(self, numbers: Tensor, batch_size: int) -> Iterator[Images]:
        rows = OrderedRows(len(self.pictures), batch_size, self.data.seed, among=numbers)
        workers = min(16, available_cores()) if self.pictures.wants_workers and len(numbers) > batch_size else 0
        loader: DataLoader[Any] = Loader(self.pictures, sampler=rows, batch_size=None, num_workers=workers)
        for some, batch in zip(numbers.split(batch_size), loader, strict=True):
            image = self.preprocess.normalise(self.pictures.finish(batch.views[0]) / 255)
            kept = batch.index == some  # in place of an unreadable picture comes the next one
            yield Images(some[kept], image[kept])


def source_of(source: Any, preprocess: Preprocess, part: str = "held_out", workers: int | None = None) -> Source:
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
        return TensorSource(as_images(source, preprocess.images.channels), preprocess)
    if isinstance(source, Data):
        return DataSource(source, part, preprocess)
    if isinstance(source, list | tuple) and source and all(isinstance(each, str | Path) for each in source):
        return FileSource([str(each) for each in source], [], preprocess, workers)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__") and not isinstance(source, dict):
        return ItemSource(source, preprocess)
    raise ValueError(
        f"a {type(source).__name__} holds no pictures; give a folder, a list of files, a tensor or an array, or a data set"
    )


def _of_path(path: Path, preprocess: Preprocess, workers: int | None) -> Source:
    if not path.exists():
        raise FileNotFoundError(f"there is no {printable(path)}; give a folder of pictures, or files")
    if path.is_dir():
        found = find_pictures(path)
        return FileSource([str(path / each) for each in found], _labels(found), preprocess, workers)
    return FileSource([str(path)], [], preprocess, workers)


def _labels(found: Sequence[str]) -> list[str]:
    """Names of the folders that pictures lie in, below train/ and val/; empty where these are no classes."""
    folders = [Path(each).parts[:-1] for each in found]
    below = [parts[1:] if parts and role(parts[0]) else parts for parts in folders]
    names = [parts[0] if parts else "" for parts in below]
    known = set(class_names(["/".join([*parts, "picture"]) for parts in below]))
    return [name if name in known else "" for name in names] if known else []
