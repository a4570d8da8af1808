"""Base of all data sets: splits, classes, batches for one process of a trainer, and normalisation
on its device.
"""

from abc import ABC, abstractmethod
from functools import cached_property

import pytorch_lightning as L
from torch.utils.data import DataLoader

from mim.augment.augmentation import Augmentation, refuse_paint
from mim.augment.centre import CentreCrop
from mim.augment.resample import Interpolation
from mim.batch import Batch
from mim.data.loader import Waiting
from mim.data.loaders import Loaders
from mim.data.normalisation import Normalisation
from mim.data.sampler import OrderedRows
from mim.data.splits import Pictures, Splits
from mim.data.statistics import MEASURED, Channels, Deviation, Mean, Statistics, measure
from mim.data.steps import Steps
from mim.data.words import words_of
from mim.geometry import pair
from mim.image_format import Range
from mim.ranges import Count, NonNegativeInt, Seed, Size


class Data(L.LightningDataModule, ABC):
    """Data set: augmented training batches, clean held-out batches, and the bank, clean training
    batches that probes learn from.

    Args:
        augment: says what views of training images there are: crops, flips, colours.
        image_size: pixels per side of what the model sees, or (height, width).
        batch_size: training images per step and process.
        seed: decides order, crops, flips and masks.
        num_workers: that decode pictures; null for this process's share of the cores. Memory needs
            none.
        shuffle: a new order every epoch; false to see the same batches in each.
        mean: of pixels in [0, 1], subtracted: a number for each channel, `imagenet`, or `own` for
            the data set's, measured where nobody knows it. Null: ImageNet's of three channels, else
            own.
        std: that they are divided by, alike.
        resize: pixels of the short side of held-out images (and of the bank) before the centre of
            `image_size` is cut out, as officially 256 for 224; null for the whole image where
            images are in memory, and for 256 / 224 of `image_size` in files.
        resize_interpolation: how. Without `resize`, images in memory are resized as crops are.
        channels: C, of an image: 1 for grey, 3 for colours.
    """

    only_judged = False
    """Nothing is learned from these images: where there is no split, all of them are held out."""
    waiting: Waiting | None = None
    """What to do where a batch does not come."""
    # an image has the same index in every epoch; a stream of shards cannot say so
    stable_index = True
    squares = False
    """Whether clean images with dense labels are shown as squares of `image_size`, of their
    centre.
    """
    steps: int | None = None
    """Optimiser steps of the whole training, where it may end within an epoch."""
    range: Range = None
    """Which values of a picture are black and white; by their type where nothing says it."""
    own_mean: Channels | None = None
    own_std: Channels | None = None

    def __init__(
        self,
        augment: Augmentation,
        image_size: Size,
        batch_size: Count,
        seed: Seed = 0,
        num_workers: NonNegativeInt | None = None,
        shuffle: bool = True,
        mean: Mean | None = "own",
        std: Deviation | None = "own",
        resize: Count | None = None,
        resize_interpolation: Interpolation = "bicubic",
        channels: Count = 3,
    ):
        super().__init__()
        self.augment, self.batch_size, self.channels = augment, batch_size, channels
        self.image_size = image_size if isinstance(image_size, int) else pair(image_size)
        self.seed, self.num_workers, self.shuffle = seed, num_workers, shuffle
        self.normalisation = Normalisation(
            mean, std, self.own_mean, self.own_std, channels, self._measure
        )
        refuse_paint(augment, channels)
        short = min(pair(image_size))
        if resize is not None and resize < short:
            raise ValueError(
                f"data.resize={resize} is smaller than the centre that is cut out of it, "
                f"data.image_size={image_size}; e.g. data.resize={short * 256 // 224}, or null"
            )
        self.resize = resize
        self.centred = CentreCrop(self.image_size, resize, resize_interpolation)
        self._from_labels = False

    @property
    def in_centre(self) -> CentreCrop | None:
        """What is shown of clean images that are in memory; null for all of them."""
        return self.centred if self.resize else None

    @property
    def clean_resize(self) -> tuple[int, Interpolation]:
        """Short side that clean images are resized to before their centre is cut out, and how."""
        if self.resize:
            return self.resize, self.centred.interpolation
        return min(pair(self.image_size)), self.augment.interpolation

    @property
    def mean(self) -> Channels:
        """Of each channel, subtracted from pixels in [0, 1]."""
        return self.normalisation.mean

    @property
    def std(self) -> Channels:
        """Deviation of each channel, by which they are then divided."""
        return self.normalisation.std

    def _measure(self) -> Statistics:
        """Of the training images, whole: every process measures the same ones."""
        pictures = self.splits.unaugmented
        rows = OrderedRows(len(pictures), self.batch_size, self.seed, limit=MEASURED)
        batches = self._loaders.of_rows(pictures, rows)
        return measure(pictures.finish(batch.views[0]) for batch in batches)

    @abstractmethod
    def load(self) -> Splits:
        """Download, read or list the pictures."""

    @cached_property
    def splits(self) -> Splits:
        """The data set, loaded when it is first asked for."""
        return self.load()

    def prepare_data(self) -> None:
        """Load the data set in one process before the others: it may have to be downloaded."""
        _ = self.splits

    def setup(self, stage: str | None = None) -> None:
        """Load the data set in every process."""
        _ = self.splits

    @property
    def classes(self) -> list[str]:
        """Names of the classes; empty without labels."""
        return self.splits.classes

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 without labels."""
        return len(self.classes)

    def learn_from(self, labels: str) -> None:
        """Train from here on with `classes` of images, on those that have one (STL-10 keeps others
        as well); a data set with dense labels has `label_maps` and `objects`.

        Raises:
            ValueError: where the data set has no such labels.
        """
        if labels != "classes":
            name = labels.replace("_", " ")
            raise ValueError(
                f"{type(self).__name__} has no {name}, and the task learns from them; choose a "
                "data set that has, e.g. data=scattered_digits"
            )
        self._from_labels = True

    @property
    def training(self) -> Pictures:
        """The training images, augmented: those with labels, once they were asked for."""
        labelled = self.splits.labelled if self._from_labels else None
        return self.splits.train if labelled is None else labelled

    @property
    def words(self) -> dict[str, str]:
        """What is looked at, by subject: images, crops, normalisation, what is held out."""
        return words_of(self)

    @property
    def train_size(self) -> int:
        """Number of training images."""
        return len(self.training)

    @property
    def batches_per_epoch(self) -> int:
        """Training batches that each process takes per epoch, those of whole optimiser steps; known
        without building the loader.

        Raises:
            ValueError: where `trainer.limit_train_batches` leaves no whole step.
        """
        return self._steps.batches

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return self.batches_per_epoch // self._steps.accumulated

    def train_dataloader(self, batch_size: int | None = None) -> DataLoader[Batch]:
        """Augmented batches of `batch_size` images, the data's own if null, going on where a
        resumed run stopped.
        """
        return self._loaders.shuffled(
            self.training,
            batch_size or self.batch_size,
            self.shuffle,
            self.steps,
            self.augment.views[0].repeats,
        )

    def val_dataloader(
        self, limit: int | None = None, first_classes: int | None = None
    ) -> DataLoader[Batch]:
        """Held-out images, clean, in order, each once over all processes; at most `limit`, evenly
        spread, of the first classes.
        """
        return self._loaders.ordered(self.splits.val, limit, first_classes)

    def bank_dataloader(self, limit: int | None = None) -> DataLoader[Batch]:
        """Training images as held-out ones are: clean, in order; at most `limit`, evenly spread."""
        return self._loaders.ordered(self.splits.bank, limit)

    def unaugmented_dataloader(self) -> DataLoader[Batch]:
        """Training images, whole and not mirrored, in order, each once over all processes: for maps
        of all their pixels.
        """
        return self._loaders.ordered(self.splits.unaugmented)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> Batch:
        """On the training device: the rest of the augmentation, then normalise -> views (B, C,
        size, size).
        """
        finish = self.splits.train.finish
        mean, std = self.normalisation.on(batch.image.device)
        views = tuple(view._replace(image=(finish(view) - mean) / std) for view in batch.views)
        return batch._replace(views=views)

    @property
    def _steps(self) -> Steps:
        return Steps(self.trainer, self.train_size, self.batch_size)

    @property
    def _loaders(self) -> Loaders:
        return Loaders(self._steps, self.seed, self.num_workers, self.waiting)
