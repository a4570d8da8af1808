"""A data set of picture files: whole batches are decoded and cropped in worker processes, and
travel as uint8.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mim.augment.augmentation import Augmentation
from mim.augment.no_augment import NoAugment
from mim.augment.pictures import Centred, Cropped
from mim.batch import Batch, View
from mim.data.files import Files, first_readable
from mim.data.listing import Listing
from mim.data.module import Splits
from mim.data.sampler import Rows

# Pictures held decoded at once: boxes can be drawn only when sizes are known, so decoding comes
# before cropping, and boxes of many are drawn faster than of each. Of large photographs it is one:
# pixels are what memory is for.
CHUNK, CHUNK_PIXELS = 32, 8_000_000


Cutter = Callable[[Sequence[Tensor], Tensor], tuple[View, ...]]
"""Pictures (C, H, W) uint8 and their keys (B,) -> views of them, not yet mirrored."""


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
        pixels = 0
        last = len(rows.index) - 1
        for number, index in enumerate(rows.index.tolist()):
            place, picture = first_readable(self.files, self.numbers, index)
            places.append(place)
            pictures.append(picture)
            pixels += picture[0].numel()
            if number == last or len(pictures) == CHUNK or pixels >= CHUNK_PIXELS:
                parts.append(self.cut(pictures, rows.key[number + 1 - len(pictures) : number + 1]))
                pictures, pixels = [], 0
            del picture  # or it would be held while the next is decoded
        views = tuple(
            View(*map(torch.cat, zip(*view, strict=True))) for view in zip(*parts, strict=True)
        )
        index = torch.tensor(places)
        return Batch(views, self.label[index], index, rows.key)

    def finish(self, view: View) -> Tensor:
        """On the training device: flip -> (B, C, size, size) float in 0..255."""
        # here, in the main process: an error raised in a worker would arrive as a page of text
        self.files.check()
        return mirrored(view)


def mirrored(view: View) -> Tensor:
    """Images of a view, mirrored where it says so: float in 0..255."""
    return torch.where(view.flip[:, None, None, None], view.image.flip(-1), view.image).float()


def from_files_splits(listing: Listing, augment: Augmentation, centred: Centred) -> Splits:
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
