"""Loaders of the pictures of a data set: this process's share of them, shuffled or in order."""

from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Sampler

from mim.batch import Batch
from mim.cores import available_cores
from mim.data.loader import Waiting
from mim.data.on_gpu import loader_of
from mim.data.sampler import OrderedRows, Rows, ShuffledRows
from mim.data.splits import Pictures
from mim.data.steps import Steps


class Loaders(NamedTuple):
    """Loaders of one process of a trainer, whose batches follow from (seed, epoch, position)."""

    steps: Steps
    """Of an epoch of training images."""
    seed: int
    """Decides the order and the keys of images."""
    workers: int | None
    """Processes that decode pictures; None for this process's share of the cores, up to 16."""
    waiting: Waiting | None
    """What to do where a batch does not come."""

    def shuffled(
        self, pictures: Pictures, batch_size: int, shuffle: bool, total: int | None, repeats: int
    ) -> DataLoader[Batch]:
        """Training batches, going on where a resumed run stopped.

        Args:
            pictures: augmented.
            batch_size: images of a batch.
            shuffle: whether every epoch has an order of its own.
            total: optimiser steps of the whole training, where it may end within an epoch.
            repeats: how often an image is seen in a batch.
        """
        steps = self.steps
        rank, world_size = steps.rank_and_world_size
        rows = ShuffledRows(
            steps.images,
            batch_size,
            self.seed,
            rank,
            world_size,
            steps.start,
            shuffle,
            steps.accumulated,
            steps.batches if steps.trainer else None,
            steps.last(total),
            repeats,
        )
        if steps.trainer:
            # Lightning's own cut may go through a step
            steps.trainer.limit_train_batches = steps.batches
        return self.of_rows(pictures, rows)

    def ordered(
        self, pictures: Pictures, limit: int | None = None, first_classes: int | None = None
    ) -> DataLoader[Batch]:
        """Pictures in order, each once over all processes; at most `limit`, evenly spread, of the
        first classes.
        """
        rank, world_size = self.steps.rank_and_world_size
        among = None if first_classes is None else (pictures.label < first_classes).nonzero()[:, 0]
        rows = OrderedRows(
            len(pictures), self.steps.batch_size, self.seed, rank, world_size, limit, among
        )
        return self.of_rows(pictures, rows)

    def of_rows(self, pictures: Pictures, rows: Sampler[Rows]) -> DataLoader[Batch]:
        """Batches of some rows of pictures."""
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
        if self.workers is not None:
            return self.workers
        trainer = self.steps.trainer
        return max(1, min(16, available_cores() // (trainer.num_devices if trainer else 1)))
