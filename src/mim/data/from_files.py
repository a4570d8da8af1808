"""A data set of picture files: whole batches are decoded and cropped in worker processes, and
travel as uint8.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mim.augment.augmentation import Augmentation
from mim.augment.centre import CentreCrop
from mim.augment.no_augment import NoAugment
from mim.augment.pictures import Cropped
from mim.augment.reduced import Sides
from mim.batch import Batch, View
from mim.data.files import Files, first_readable
from mim.data.listing import Listing
from mim.data.sampler import Rows
from mim.data.splits import Splits
from mim.data.stamp import digest_of

# Pictures held decoded at once: boxes can be drawn only when sizes are known, so decoding comes
# before cropping, and boxes of many are drawn faster than of each. Of large photographs it is one:
# pixels are what memory is for.
CHUNK, CHUNK_PIXELS = 32, 8_000_000


class Cutter(Protocol):
    """What makes views of decoded pictures."""

    def __call__(
        self, pictures: Sequence[Tensor], key: Tensor, sizes: Tensor | None = None
    ) -> tuple[View, ...]:
        """Pictures (C, H, W) uint8 and their keys (B,) -> views of them, not yet mirrored.

        Args:
            pictures: as they were decoded, some reduced.
            key: of each.
            sizes: (B, 2), height and width of each before; None for their own.
        """

    def divisor(self, size: Sides, key: Tensor) -> int:
        """By what the sides of a picture of a key (1,) can be divided: 1, 2, 4 or 8."""


class _Fit:
    """What one picture is divided by, and its size before."""

    def __init__(self, cut: Cutter, key: Tensor):
        self.cut, self.key = cut, key
        self.whole, self.divisor = Sides(0, 0), 1

    def __call__(self, height: int, width: int) -> int:
        self.whole = Sides(height, width)
        self.divisor = self.cut.divisor(self.whole, self.key)
        return self.divisor

    def size(self, picture: Tensor) -> tuple[int, int]:
        """Height and width of a picture (C, h, w) before it was reduced; another may have stood in
        for a broken one.
        """
        height, width = picture.shape[1:]
        reduced = tuple(-(-side // self.divisor) for side in self.whole)
        return self.whole if (height, width) == reduced else (height, width)


class FromFiles(Dataset[Batch]):
    """Some of the picture files.

    Args:
        files: where they are.
        numbers: which of them, (N,) int64.
        cut: makes views of decoded pictures.
    """

    wants_workers = True

    def __init__(self, files: Files, numbers: Tensor, cut: Cutter):
        self.files, self.numbers, self.cut = files, numbers, cut
        self.label = files.label[numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def __str__(self) -> str:
        return str(self.cut)

    def __getitem__(self, rows: Rows) -> Batch:
        """Rows (B,) -> views (B, C, size, size) uint8. In place of a broken picture comes the next
        one.
        """
        places: list[int] = []
        parts: list[tuple[View, ...]] = []
        pictures: list[Tensor] = []
        sizes: list[tuple[int, int]] = []
        pixels = 0
        last = len(rows.index) - 1
        for number, index in enumerate(rows.index.tolist()):
            fit = _Fit(self.cut, rows.key[number : number + 1])
            reduced = fit if self.files.reading.reduced else None
            place, picture = first_readable(self.files, self.numbers, index, reduced)
            places.append(place)
            pictures.append(picture)
            sizes.append(fit.size(picture))
            pixels += picture[0].numel()
            if number == last or len(pictures) == CHUNK or pixels >= CHUNK_PIXELS:
                keys = rows.key[number + 1 - len(pictures) : number + 1]
                parts.append(self.cut(pictures, keys, torch.tensor(sizes)))
                pictures, sizes, pixels = [], [], 0
            del picture  # or it would be held while the next is decoded
        views = tuple(
            View(*map(torch.cat, zip(*view, strict=True))) for view in zip(*parts, strict=True)
        )
        index = torch.tensor(places)
        return Batch(views, self.label[index], index, rows.key)

    def stamp(self, index: Tensor) -> str:
        """The same for the same files (N,) with the same labels."""
        files = map(self.files.stamp, self.numbers[index].tolist())
        return digest_of([self.label[index].numpy().tobytes(), *files])

    def finish(self, view: View) -> Tensor:
        """On the training device: flip -> (B, C, size, size) float in 0..255."""
        # here, in the main process: an error raised in a worker would arrive as a page of text
        self.files.check()
        return mirrored(view)


def mirrored(view: View) -> Tensor:
    """Images of a view, mirrored where it says so: float in 0..255."""
    return torch.where(view.flip[:, None, None, None], view.image.flip(-1), view.image).float()


def from_files_splits(listing: Listing, augment: Augmentation, centred: CentreCrop) -> Splits:
    """Training pictures augmented to the size of a centre; held-out pictures and the bank (the
    training pictures) centred.
    """
    image_size = centred.size
    return Splits(
        train=FromFiles(listing.files, listing.train, Cropped(augment, image_size)),
        unaugmented=FromFiles(
            listing.files, listing.train, Cropped(NoAugment(augment.interpolation), image_size)
        ),
        val=FromFiles(listing.files, listing.val, centred),
        bank=FromFiles(listing.files, listing.train, centred),
        classes=listing.classes,
    )
