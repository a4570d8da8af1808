"""A data set of picture files: whole batches are decoded and cropped in worker processes, and travel as uint8."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mim.augment.pictures import Centred, Cropped, Cut
from mim.augment.view import View
from mim.augment.whole import Whole
from mim.batch import Batch
from mim.data.files import Files, first_readable
from mim.data.listing import Listing
from mim.data.module import Splits
from mim.data.sampler import Rows

# Pictures held decoded at once: boxes can be drawn only when sizes are known, so decoding comes before cropping, and boxes of
# many are drawn faster than of each. Of large photographs it is one: pixels are what memory is for.
CHUNK, CHUNK_PIXELS = 32, 8_000_000


class FromFiles(Dataset[Batch]):
    """Some of the picture files.

    Args:
        files: where they are.
        numbers: which of them, (N,) int64.
        view: cuts decoded pictures to one size.
    """

    wants_workers = True

    def __init__(self, files: Files, numbers: Tensor, view: Callable[[Sequence[Tensor], Tensor], Cut]):
        self.files, self.numbers, self.view = files, numbers, view
        self.label = files.label[numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def __str__(self) -> str:
        return str(self.view)

    def __getitem__(self, rows: Rows) -> Batch:
        """Rows (B,) -> cropped images (B, 3, size, size) uint8. In place of a broken picture comes the next one."""
        places: list[int] = []
        parts: list[Cut] = []
        pictures: list[Tensor] = []
        last = len(rows.index) - 1
        for number, index in enumerate(rows.index.tolist()):
            place, picture = first_readable(self.files, self.numbers, index)
            places.append(place)
            pictures.append(picture)
            pixels = sum(each[0].numel() for each in pictures)
            if number == last or len(pictures) == CHUNK or pixels >= CHUNK_PIXELS:
                parts.append(self.view(pictures, rows.key[number + 1 - len(pictures) : number + 1]))
                pictures = []
            del picture  # or it would be held while the next is decoded
        image, box, flip = (torch.cat(part) for part in zip(*parts, strict=True))
        index = torch.tensor(places)
        return Batch(image, self.label[index], index, box, flip, rows.key)

    def finish(self, batch: Batch) -> Tensor:
        """On the training device: flip -> (B, 3, size, size) float in 0..255."""
        self.files.check()  # here, in the main process: an error raised in a worker would arrive as a page of text
        return torch.where(batch.flip[:, None, None, None], batch.image.flip(-1), batch.image).float()


def from_files_splits(listing: Listing, augment: View, centred: Centred) -> Splits:
    """Training pictures augmented to the size of a centre; held-out pictures and the bank (the training pictures) centred."""
    image_size = centred.size
    return Splits(
        train=FromFiles(listing.files, listing.train, Cropped(augment, image_size)),
        whole=FromFiles(listing.files, listing.train, Cropped(Whole(augment.interpolation), image_size)),
        val=FromFiles(listing.files, listing.val, centred),
        bank=FromFiles(listing.files, listing.train, centred),
        classes=listing.classes,
    )
