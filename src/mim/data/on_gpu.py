"""JPEGs decoded on a GPU: workers hand over the bytes of files, and the process that trains decodes
and crops them on its device.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import Any, NamedTuple, cast

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from mim.batch import Batch, View
from mim.data.decode import decode
from mim.data.files import first_made, first_readable
from mim.data.from_files import FromFiles
from mim.data.jpeg import decode_on_gpu
from mim.data.levels import Reading, refuse_large
from mim.data.loader import Loader
from mim.data.orientation import orientation_of
from mim.data.sampler import Rows
from mim.data.splits import Pictures
from mim.data.undecoded import Undecoded

AT_ONCE = 64_000_000
"""Pixels that are decoded before they are cropped, at most, where more than one picture has
them."""


class Handed(NamedTuple):
    """One picture as a worker hands it over."""

    content: Tensor
    """(size,) uint8: of a JPEG, or of pixels (C, H, W) that a worker has decoded."""
    shape: tuple[int, int, int]
    """C, H, W."""
    depth: int = 0
    """Bytes of a value where it is decoded; 0 where it is a JPEG."""


class OnGpu(Dataset[Undecoded]):
    """The same pictures, undecoded, and what decodes them.

    What a GPU would decode otherwise than expected is decoded by workers: other formats, pictures
    that EXIF turns, JPEGs of four colours, and values with a range of their own.

    Args:
        pictures: files, and what cuts them.
    """

    def __init__(self, pictures: FromFiles):
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def stamp(self, index: Tensor) -> str:
        """That of the files."""
        return self.pictures.stamp(index)

    def __getitem__(self, rows: Rows) -> Undecoded:
        """Rows (B,) -> the bytes of their pictures; in place of a broken one come those of the
        next."""
        files, numbers = self.pictures.files, self.pictures.numbers
        places, handed = list[int](), list[Handed]()
        for index in rows.index.tolist():
            place, made = first_made(files, numbers, index, self._handed)
            places.append(place)
            black = torch.zeros(files.reading.channels, dtype=torch.uint8)
            handed.append(made or Handed(black, (len(black), 1, 1), 1))
        return Undecoded(
            torch.cat([each.content for each in handed]),
            torch.tensor([len(each.content) for each in handed]),
            torch.tensor([each.shape for each in handed]),
            torch.tensor([each.depth for each in handed]),
            torch.tensor(places),
            rows.key,
        )

    def _handed(self, content: Tensor) -> Handed:
        reading = self.pictures.files.reading
        sides = sides_for_gpu(content, reading)
        if sides is not None:
            return Handed(content, (reading.channels, *sides))
        pixels = decode(content, reading)
        channels, height, width = pixels.shape
        return Handed(
            pixels.flatten().view(torch.uint8), (channels, height, width), pixels.element_size()
        )

    def decoded(self, batch: Undecoded) -> Batch:
        """Undecoded pictures -> the batch that workers would have made of them, on a GPU."""
        places, parts = batch.index.clone(), list[tuple[View, ...]]()
        contents = batch.content.split(batch.length.tolist())
        for some in _groups(batch.shape):
            pictures = self._pictures(batch, contents, some, places)
            parts.append(self.pictures.cut(pictures, batch.key[some.start : some.stop]))
        device = parts[0][0].image.device
        views = tuple(
            View(*(torch.cat(each).to(device) for each in zip(*view, strict=True)))
            for view in zip(*parts, strict=True)
        )
        return Batch(views, self.pictures.label[places], places, batch.key)

    def _pictures(
        self, batch: Undecoded, contents: tuple[Tensor, ...], some: range, places: Tensor
    ) -> list[Tensor]:
        """Pictures (C, H, W) of a part of a batch; the place of one that stands in for a broken one
        is written down."""
        jpegs = [number for number in some if batch.depth[number] == 0]
        grey = self.pictures.files.reading.channels == 1
        made = dict(zip(jpegs, decode_on_gpu([contents[n] for n in jpegs], grey), strict=True))
        device = next((each.device for each in made.values() if each is not None), None)
        pictures = []
        for number in some:
            picture = made.get(number)
            if batch.depth[number]:
                depth = torch.uint8 if batch.depth[number] == 1 else torch.float32
                pixels = contents[number].clone().view(depth)  # a float begins at a multiple of 4
                picture = pixels.view(*batch.shape[number].tolist())
            elif picture is None:  # a library of a CPU may still read it, or the next one
                place = int(batch.index[number])
                place, picture = first_readable(self.pictures.files, self.pictures.numbers, place)
                places[number] = place
            pictures.append(picture.to(device or picture.device))
        return pictures


def sides_for_gpu(content: Tensor, reading: Reading) -> tuple[int, int] | None:
    """Height and width of a JPEG that a GPU decodes to the pixels that are wanted; null of another
    picture.

    Raises:
        ValueError: where it has more pixels than the limit.
        Exception: of Pillow, where a JPEG has no sound header.
    """
    if content[:3].tolist() != [255, 216, 255] or reading.range is not None:
        return None
    with Image.open(BytesIO(content.numpy().tobytes()), formats=["JPEG"]) as picture:
        refuse_large(*picture.size, reading.max_megapixels)
        plain = picture.mode in ("L", "RGB") and orientation_of(picture) == 1
        return picture.size[::-1] if plain and reading.channels in (1, 3) else None


def _groups(shape: Tensor) -> Iterator[range]:
    """Pictures that are decoded at once, by their shapes (B, 3)."""
    start, pixels = 0, 0
    for number, each in enumerate((shape[:, 1] * shape[:, 2]).tolist()):
        if number > start and pixels + each > AT_ONCE:
            yield range(start, number)
            start, pixels = number, 0
        pixels += each
    yield range(start, len(shape))


class _Decoding(Loader[Batch]):
    """Loader whose batches are decoded here, in the process that trains."""

    def __init__(self, pictures: OnGpu, **settings: Any):
        self.pictures = pictures
        super().__init__(cast(Any, pictures), **settings)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        return map(self.pictures.decoded, cast(Iterator[Undecoded], super().__iter__()))


def loader_of(pictures: Pictures, **settings: Any) -> Loader[Batch]:
    """Loader of pictures, which are decoded on a GPU where that was asked for.

    Args:
        pictures: of a split.
        settings: of a `Loader`.
    """
    if type(pictures) is FromFiles and pictures.files.reading.decoder == "nvjpeg":
        return _Decoding(OnGpu(pictures), **settings)
    return Loader(pictures, **settings)
