"""Small pictures that live in memory: batches are indexed whole, and augmented whole on the
training device.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mim.augment.augmentation import Augmentation, OneView
from mim.augment.centre import CentreCrop
from mim.augment.no_augment import NoAugment
from mim.augment.pictures import finished, larger
from mim.augment.resample import Interpolation, resized_crop
from mim.batch import Batch, View, uncropped
from mim.cores import available_cores
from mim.data.from_files import mirrored
from mim.data.listing import Listing
from mim.data.sampler import Rows
from mim.data.splits import Splits
from mim.data.stamp import digest_of
from mim.draw import view_key
from mim.geometry import pair
from mim.ranges import Size


class Stored(NamedTuple):
    """Decoded pictures of one size, with their labels."""

    image: Tensor
    """(N, C, H, W) uint8, or float32 in 0..255."""
    label: Tensor
    """(N,) int64, -1 where there is none."""


def stamp_of(image: Tensor, label: Tensor, index: Tensor) -> str:
    """Stamp of images (N, ..) and labels (N,) at index (M,)."""
    some = (image[part].numpy().tobytes() for part in index.split(1024))
    return digest_of([label[index].numpy().tobytes(), *some])


class InMemory(Dataset[Batch]):
    """Pictures of one size, of which one view is cut on the training device.

    Args:
        stored: the pictures.
        recipe: of the view, which paints on nothing.
        image_size: pixels per side of what the model sees.
    """

    wants_workers = False  # indexing a tensor is faster than asking another process to do it

    def __init__(self, stored: Stored, recipe: OneView, image_size: Size):
        self.image, self.label = stored
        self.recipe, self.image_size = recipe, image_size

    def __len__(self) -> int:
        return len(self.image)

    def __str__(self) -> str:
        return str(self.recipe)

    def __getitem__(self, rows: Rows) -> Batch:
        """Rows (B,) -> the stored images (B, C, H, W) uint8 and where to crop and flip them."""
        height, width = self.image.shape[-2:]
        box, flip, _ = self.recipe(
            rows.key, torch.tensor([[height, width]]).expand(len(rows.key), 2)
        )
        view = View(
            self.image[rows.index], box / torch.tensor([width, height, width, height]), flip
        )
        return Batch((view,), self.label[rows.index], rows.index, rows.key)

    def stamp(self, index: Tensor) -> str:
        """The same for the same pixels and labels of pictures (N,)."""
        return stamp_of(self.image, self.label, index)

    def finish(self, view: View) -> Tensor:
        """On the training device: crop, flip and resize -> (B, C, image_size, image_size) float in
        0..255.
        """
        interpolation = self.recipe.interpolation
        return resized_crop(view.image, view.box, view.flip, self.image_size, interpolation).clamp(
            0, 255
        )


class CutInMemory(Dataset[Batch]):
    """Pictures of one size, of which several views are cut, or one that is painted on, by worker
    processes.

    Args:
        stored: the pictures.
        augment: says what views there are, where they lie and how they are made.
        image_size: pixels per side of the views that say none themselves.
    """

    def __init__(self, stored: Stored, augment: Augmentation, image_size: Size):
        self.image, self.label = stored
        self.augment, self.image_size = augment, image_size
        self.wants_workers = needs_workers(augment)

    def __len__(self) -> int:
        return len(self.image)

    def __str__(self) -> str:
        return str(self.augment)

    def __getitem__(self, rows: Rows) -> Batch:
        """Rows (B,) -> views (B, C, size, size), uint8 where they are painted on and float32 where
        not.
        """
        image = self.image[rows.index]
        views = tuple(
            self._view(recipe, image, rows.key, view_key(rows.key, number))
            for number, recipe in enumerate(self.augment.views)
        )
        return Batch(views, self.label[rows.index], rows.index, rows.key)

    def _view(self, recipe: OneView, image: Tensor, key: Tensor, own_key: Tensor) -> View:
        height, width = image.shape[-2:]
        size = torch.tensor([[height, width]]).expand(len(image), 2)
        cut, side = recipe(key, size), pair(recipe.size or self.image_size)
        box = cut.box / torch.tensor([width, height, width, height])
        still = torch.zeros_like(cut.flip)
        crops = resized_crop(
            image, box, still, larger(side, recipe.margin), recipe.interpolation
        ).clamp(0, 255)
        crops = crops.round().byte() if recipe.paints else crops
        return finished(recipe, list(crops), cut, side, own_key, size)

    def stamp(self, index: Tensor) -> str:
        """The same for the same pixels and labels of pictures (N,)."""
        return stamp_of(self.image, self.label, index)

    def finish(self, view: View) -> Tensor:
        """On the training device: flip -> (B, C, size, size) float in 0..255."""
        return mirrored(view)


def needs_workers(augment: Augmentation) -> bool:
    """Whether views take long to make: there are several, or they are painted on."""
    return len(augment.views) > 1 or augment.views[0].paints


class Central(InMemory):
    """Pictures of which the centre is seen, resized and cut as those of files are, by worker
    processes.

    Args:
        stored: the pictures.
        centred: resizes them and cuts out the centre.
    """

    wants_workers = True

    def __init__(self, stored: Stored, centred: CentreCrop):
        super().__init__(stored, NoAugment(), centred.size)
        self.centred = centred

    def __str__(self) -> str:
        return str(self.centred)

    def __getitem__(self, rows: Rows) -> Batch:
        """Rows (B,) -> centres (B, C, image_size, image_size) uint8, of which nothing is left to
        cut.
        """
        (view,) = self.centred(list(self.image[rows.index]), rows.key)
        return Batch((uncropped(view.image),), self.label[rows.index], rows.index, rows.key)


def in_memory_splits(
    train: Stored,
    val: Stored,
    augment: Augmentation,
    image_size: Size,
    classes: list[str],
    centred: CentreCrop | None = None,
    bank: Stored | None = None,
) -> Splits:
    """Training pictures augmented; held-out pictures and the bank (the training pictures, if not
    others) clean.

    Args:
        train: the training pictures.
        val: those held out.
        augment: says what is seen of training pictures.
        image_size: pixels per side of what the model sees.
        classes: names of the classes.
        centred: what is shown of clean pictures; null for all of them.
        bank: training pictures with labels, where the others have none.
    """
    unaugmented = NoAugment(augment.interpolation)

    def show(stored: Stored, seen: Augmentation) -> InMemory | CutInMemory:
        # Of the whole data set all is cut in one place: `finish` is told of no batch which pictures
        # it is of.
        if needs_workers(augment):
            return CutInMemory(stored, seen, image_size)
        return InMemory(stored, seen.views[0], image_size)

    def clean(stored: Stored) -> InMemory | CutInMemory:
        return Central(stored, centred) if centred else show(stored, unaugmented)

    return Splits(
        train=show(train, augment),
        unaugmented=show(train, unaugmented),
        val=clean(val),
        bank=clean(bank or train),
        classes=classes,
        labelled=show(bank, augment) if bank else None,
    )


def read_into_memory(
    listing: Listing, image_size: Size, interpolation: Interpolation = "bicubic"
) -> tuple[Stored, Stored]:
    """Decode all files, shrunk to one size -> the training pictures and those held out, without the
    unreadable ones.
    """
    files, centred = listing.files, CentreCrop(image_size, min(pair(image_size)), interpolation)

    def read(number: int) -> Tensor | None:
        picture = files.read(number)
        return None if picture is None else centred([picture], torch.zeros(1))[0].image[0]

    with ThreadPoolExecutor(available_cores()) as pool:
        pictures = list(pool.map(read, range(len(files))))
    files.check()

    def gather(numbers: Tensor) -> Stored:
        kept = {
            number: picture
            for number in numbers.tolist()
            if (picture := pictures[number]) is not None
        }
        return Stored(torch.stack(list(kept.values())), files.label[list(kept)])

    return gather(listing.train), gather(listing.val)
