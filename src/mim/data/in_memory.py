"""Small pictures that live in memory: batches are indexed whole, and augmented whole on the training device."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mim.augment.pictures import Centred
from mim.augment.resample import Interpolation, resized_crop
from mim.augment.view import View
from mim.augment.whole import Whole
from mim.batch import Batch
from mim.cores import available_cores
from mim.data.listing import Listing
from mim.data.module import Splits
from mim.data.sampler import Rows


class Stored(NamedTuple):
    """Decoded pictures."""

    image: Tensor
    """(N, 3, H, W) uint8."""
    label: Tensor
    """(N,) int64, -1 where there is none."""


class InMemory(Dataset[Batch]):
    """Pictures of one size.

    Args:
        stored: the pictures.
        view: decides crops and flips.
        image_size: pixels per side of what the model sees.
    """

    wants_workers = False  # indexing a tensor is faster than asking another process to do it

    def __init__(self, stored: Stored, view: View, image_size: int):
        self.image, self.label = stored
        self.view, self.image_size = view, image_size

    def __len__(self) -> int:
        return len(self.image)

    def __str__(self) -> str:
        return str(self.view)

    def __getitem__(self, rows: Rows) -> Batch:
        """Rows (B,) -> the stored images (B, 3, H, W) uint8 and where to crop and flip them."""
        height, width = self.image.shape[-2:]
        box, flip = self.view(rows.key, torch.tensor([[height, width]]).expand(len(rows.key), 2))
        box = box / torch.tensor([width, height, width, height])
        return Batch(self.image[rows.index], self.label[rows.index], rows.index, box, flip, rows.key)

    def finish(self, batch: Batch) -> Tensor:
        """On the training device: crop, flip and resize -> (B, 3, image_size, image_size) float in 0..255."""
        return resized_crop(batch.image, batch.box, batch.flip, self.image_size, self.view.interpolation).clamp(0, 255)


class Painted(InMemory):
    """Pictures that are cropped, and then painted on one by one (augment/finetune.py), by worker processes."""

    wants_workers = True

    def __getitem__(self, rows: Rows) -> Batch:
        """Rows (B,) -> painted crops (B, 3, image_size, image_size) uint8, of which nothing is left to cut."""
        batch = super().__getitem__(rows)
        crop = resized_crop(
            batch.image, batch.box, torch.zeros_like(batch.flip), self.image_size, self.view.interpolation
        )
        crop = crop.clamp(0, 255).round().byte()
        paint: Callable[[Tensor, int], Tensor] = self.view.paint  # type: ignore[attr-defined]
        image = torch.stack([paint(one, key) for one, key in zip(crop, rows.key.tolist(), strict=True)])
        return batch._replace(image=image, box=torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(len(image), 4))


class Central(InMemory):
    """Pictures of which the centre is seen, resized and cut as those of files are, by worker processes.

    Args:
        stored: the pictures.
        centred: resizes them and cuts out the centre.
    """

    wants_workers = True

    def __init__(self, stored: Stored, centred: Centred):
        super().__init__(stored, Whole(), centred.size)
        self.centred = centred

    def __str__(self) -> str:
        return str(self.centred)

    def __getitem__(self, rows: Rows) -> Batch:
        """Rows (B,) -> centres (B, 3, image_size, image_size) uint8, of which nothing is left to cut."""
        image, _, flip = self.centred(list(self.image[rows.index]), rows.key)
        box = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(len(image), 4)
        return Batch(image, self.label[rows.index], rows.index, box, flip, rows.key)


def in_memory_splits(
    train: Stored,
    val: Stored,
    augment: View,
    image_size: int,
    classes: list[str],
    centred: Centred | None = None,
    bank: Stored | None = None,
) -> Splits:
    """Training pictures augmented; held-out pictures and the bank (the training pictures, if not others) clean.

    Args:
        train: the training pictures.
        val: those held out.
        augment: decides crops and flips of training pictures, and may paint on them.
        image_size: pixels per side of what the model sees.
        classes: names of the classes.
        centred: what is shown of clean pictures; null for all of them.
        bank: training pictures with labels, where the others have none.
    """
    augmented = Painted if hasattr(augment, "paint") else InMemory

    def clean(stored: Stored) -> InMemory:
        return Central(stored, centred) if centred else InMemory(stored, Whole(augment.interpolation), image_size)

    return Splits(
        train=augmented(train, augment, image_size),
        whole=InMemory(train, Whole(augment.interpolation), image_size),
        val=clean(val),
        bank=clean(bank or train),
        classes=classes,
        labelled=augmented(bank, augment, image_size) if bank else None,
    )


def read_into_memory(
    listing: Listing, image_size: int, interpolation: Interpolation = "bicubic"
) -> tuple[Stored, Stored]:
    """Decode all files, shrunk to one size -> the training pictures and those held out, without the unreadable ones."""
    files, centred = listing.files, Centred(image_size, image_size, interpolation)

    def read(number: int) -> Tensor | None:
        picture = files.read(number)
        return None if picture is None else centred([picture], torch.zeros(1))[0][0]

    with ThreadPoolExecutor(available_cores()) as pool:
        pictures = list(pool.map(read, range(len(files))))
    files.check()

    def gather(numbers: Tensor) -> Stored:
        kept = {number: picture for number in numbers.tolist() if (picture := pictures[number]) is not None}
        return Stored(torch.stack(list(kept.values())), files.label[list(kept)])

    return gather(listing.train), gather(listing.val)
