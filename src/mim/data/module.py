"""What all data sets share: batches that follow from (seed, epoch, position), and normalisation on
the device.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Literal

import pytorch_lightning as L
import torch
from torch.utils.data import DataLoader, Sampler

from mim.augment.augmentation import Augmentation
from mim.augment.pictures import Centred
from mim.augment.resample import Interpolation
from mim.batch import Batch
from mim.cores import available_cores
from mim.data.loader import Waiting
from mim.data.on_gpu import loader_of
from mim.data.sampler import OrderedRows, Rows, ShuffledRows
from mim.data.splits import Pictures, Splits
from mim.data.statistics import (
    MEASURED,
    Channels,
    Deviation,
    Mean,
    Statistics,
    chosen,
    measure,
    per_channel,
)
from mim.data.steps import Steps
from mim.data.words import words_of
from mim.geometry import pair
from mim.image_format import Range
from mim.ranges import Count, NonNegativeInt, Seed, Size


class Data(L.LightningDataModule, ABC):
    """A data set: augmented training batches, clean held-out batches, the bank (clean training
    batches, for probes).

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
        self._asked: dict[Literal["mean", "std"], Mean | None] = {"mean": mean, "std": std}
        # these refuse what is none
        chosen("mean", self._asked["mean"], self.own_mean, channels, tuple)
        chosen("std", self._asked["std"], self.own_std, channels, tuple)
        if channels != 3 and any(view.paints for view in augment.views):
            raise ValueError(
                f"{type(augment).__name__} changes colours of three channels, and "
                f"data.channels={channels}; crop and flip only: "
                "augment@data.augment=crop_flip"
            )
        short = min(pair(image_size))
        if resize is not None and resize < short:
            raise ValueError(
                f"data.resize={resize} is smaller than the centre that is cut out of it, "
                f"data.image_size={image_size}; e.g. "
                f"data.resize={short * 256 // 224}, or null"
            )
        self.resize, self.centred = resize, Centred(self.image_size, resize, resize_interpolation)
        self._from_labels = False

    @property
    def in_centre(self) -> Centred | None:
        """What is shown of clean images that are in memory; null for all of them."""
        return self.centred if self.resize else None

    @property
    def clean_resize(self) -> tuple[int, Interpolation]:
        """Short side that clean images are resized to before their centre is cut out, and how."""
        if self.resize:
            return self.resize, self.centred.interpolation
        return min(pair(self.image_size)), self.augment.interpolation

    @cached_property
    def mean(self) -> Channels:
        """Of each channel, subtracted from pixels in [0, 1]."""
        return chosen(
            "mean", self._asked["mean"], self.own_mean, self.channels, lambda: self._measured.mean
        )

    @cached_property
    def std(self) -> Channels:
        """Deviation of each channel, by which they are then divided."""
        return chosen(
            "std", self._asked["std"], self.own_std, self.channels, lambda: self._measured.std
        )

    @cached_property
    def _measured(self) -> Statistics:
        """Of the training images, whole: every process measures the same ones."""
        pictures = self.splits.unaugmented
        rows = OrderedRows(len(pictures), self.batch_size, self.seed, limit=MEASURED)
        return measure(pictures.finish(batch.views[0]) for batch in self._loader(pictures, rows))

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

    def learn_from_labels(self) -> None:
        """Train on labelled images from here on, where the data set keeps others as well
        (STL-10).
        """
        self._from_labels = True

    def learn_from(self, labels: str) -> None:
        """Train from here on with `classes` of images; a data set with dense labels has
        `label_maps` and `objects`.

        Raises:
            ValueError: where the data set has no such labels.
        """
        if labels != "classes":
            name = labels.replace("_", " ")
            raise ValueError(
                f"{type(self).__name__} has no {name}, and the task learns from them; choose a "
                "data set that has, e.g. "
                "data=scattered_digits"
            )
        self.learn_from_labels()

    @property
    def training(self) -> Pictures:
        """The training images, augmented: those with labels, once they were asked for."""
        labelled = self.splits.labelled if self._from_labels else None
        return self.splits.train if labelled is None else labelled

    @property
    def words(self) -> dict[str, str]:
        """What is looked at, by subject: how many images, how they are cropped and normalised, what
        is held out.
        """
        return words_of(self)

    @property
    def is_measured(self) -> bool:
        """Whether mean or deviation had to be measured, once they were asked for."""
        return "_measured" in self.__dict__

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
        steps = self._steps
        rank, world_size = steps.rank_and_world_size
        rows = ShuffledRows(
            self.train_size,
            batch_size or self.batch_size,
            self.seed,
            rank,
            world_size,
            steps.start,
            self.shuffle,
            steps.accumulated,
            steps.batches if self.trainer else None,
            steps.last(self.steps),
            self.augment.views[0].repeats,
        )
        if self.trainer:
            # Lightning's own cut may go through a step
            self.trainer.limit_train_batches = steps.batches
        return self._loader(self.training, rows)

    def val_dataloader(
        self, limit: int | None = None, first_classes: int | None = None
    ) -> DataLoader[Batch]:
        """Held-out images, clean, in order, each once over all processes; at most `limit`, evenly
        spread, of the first classes.
        """
        return self._ordered(self.splits.val, limit, first_classes)

    def bank_dataloader(self, limit: int | None = None) -> DataLoader[Batch]:
        """Training images, clean, in order, each once over all processes; at most `limit`, evenly
        spread.
        """
        return self._ordered(self.splits.bank, limit)

    def unaugmented_dataloader(self) -> DataLoader[Batch]:
        """Training images, whole and not mirrored, in order, each once over all processes: for maps
        of all their pixels.
        """
        return self._ordered(self.splits.unaugmented, None)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> Batch:
        """On the training device: the rest of the augmentation, then normalise -> views (B, C,
        size, size).
        """
        finish, device = self.splits.train.finish, batch.image.device
        mean, std = per_channel(self.mean, device), per_channel(self.std, device)
        views = tuple(view._replace(image=(finish(view) - mean) / std) for view in batch.views)
        return batch._replace(views=views)

    def _ordered(
        self, pictures: Pictures, limit: int | None, classes: int | None = None
    ) -> DataLoader[Batch]:
        rank, world_size = self._steps.rank_and_world_size
        among = None if classes is None else (pictures.label < classes).nonzero()[:, 0]
        rows = OrderedRows(
            len(pictures), self.batch_size, self.seed, rank, world_size, limit, among
        )
        return self._loader(pictures, rows)

    def _loader(self, pictures: Pictures, rows: Sampler[Rows]) -> DataLoader[Batch]:
        workers = self._workers() if pictures.wants_workers else 0
        return loader_of(
            pictures,
            sampler=rows,
            batch_size=None,  # a row is a whole batch already
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            waiting=self.waiting,
            # its own: iterating must not advance the stream that training draws from
            generator=torch.Generator(),
        )

    def _workers(self) -> int:
        """As many as were asked for, or this process's share of the cores, up to 16."""
        if self.num_workers is not None:
            return self.num_workers
        return max(
            1, min(16, available_cores() // (self.trainer.num_devices if self.trainer else 1))
        )

    @property
    def _steps(self) -> Steps:
        return Steps(self.trainer, self.train_size, self.batch_size)
