"""Sources that are data sets: ours, and those of torchvision's kind."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from mim.cores import available_cores
from mim.data.from_files import FromFiles
from mim.data.loader import Loader
from mim.data.module import Data
from mim.data.sampler import OrderedRows
from mim.door.preprocess import Preprocess, pixels_of
from mim.door.source import Images
from mim.geometry import by, pair


@runtime_checkable
class Items(Protocol):
    """Data set of torchvision's kind: a picture, or a picture and its label, by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> object: ...


@runtime_checkable
class _Named(Protocol):
    classes: Sequence[str]


@runtime_checkable
class _Files(Protocol):
    samples: Sequence[tuple[str, int]]


@runtime_checkable
class _Labelled(Protocol):
    targets: Sequence[int]


class ItemSource:
    """Source of a data set of torchvision's kind: a picture, or a picture and its label, by number.

    Args:
        items: has `len` and numbers; pictures of Pillow, arrays or tensors, each uint8 or float in
            0..1.
        preprocess: cuts pictures and normalises them.
    """

    def __init__(self, items: Items, preprocess: Preprocess):
        self.items, self.preprocess = items, preprocess
        self.classes: Sequence[str] = items.classes if isinstance(items, _Named) else ()
        self.samples: Sequence[tuple[str, int]] = items.samples if isinstance(items, _Files) else ()
        self.targets: Sequence[int] = items.targets if isinstance(items, _Labelled) else ()

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

    def _image(self, picture: object) -> Tensor:
        """Tensors and arrays of the encoder's own size have been cut by somebody; files and
        Pillow's pictures have not.
        """
        pixels = pixels_of(picture, self.preprocess.images.channels, self.preprocess.images.range)
        cut = (
            self.preprocess.fit(pixels[None])[0]
            if isinstance(picture, np.ndarray | Tensor)
            else self.preprocess.cut(pixels)
        )
        return self.preprocess.normalise(cut)


def _picture(item: object) -> object:
    """A picture, of an item that may have a label beside it."""
    return item[0] if isinstance(item, tuple | list) else item


class DataSource:
    """Source of a data set of ours, as it shows clean images, normalised as the encoder was
    trained.

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
            asked, given = (
                size[0] if size[0] == size[1] else f"[{size[0]},{size[1]}]" for size in (own, side)
            )
            raise ValueError(
                f"{type(data).__name__} shows images of {by(side)}, and the encoder sees "
                f"{by(own)}; give "
                f"data.image_size={asked}, or open it with image_size={given}"
            )
        if data.channels != preprocess.images.channels:
            raise ValueError(
                f"{type(data).__name__} shows images of {data.channels} channels, and the encoder "
                "sees "
                f"{preprocess.images.channels}; give data.channels={preprocess.images.channels}"
            )
        data.setup()
        self.data, self.part, self.preprocess = data, part, preprocess
        self.pictures = data.splits.val if part == "held_out" else data.splits.bank

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
        workers = (
            min(16, available_cores())
            if self.pictures.wants_workers and len(numbers) > batch_size
            else 0
        )
        loader = Loader(self.pictures, sampler=rows, batch_size=None, num_workers=workers)
        for some, batch in zip(numbers.split(batch_size), loader, strict=True):
            image = self.preprocess.normalise(self.pictures.finish(batch.views[0]) / 255)
            kept = batch.index == some  # in place of an unreadable picture comes the next one
            yield Images(some[kept], image[kept])
