"""Contracts of what a trainer is given, and where it keeps it: the data, and what a training says
of itself.
"""

from abc import abstractmethod
from typing import Protocol

import pytorch_lightning as L
from torch.utils.data import DataLoader

from mim.batch import Batch
from mim.data.loader import Waiting
from mim.data.splits import Splits
from mim.image_format import FormattedData
from mim.run.position import Position


class TrainingData(FormattedData, Protocol):
    """Data of a training: a data module of `mim.data`, or one that says as much."""

    batch_size: int
    """Images of a batch, of each process."""
    steps: int | None
    """Optimiser steps of the whole training, where it may end within an epoch."""

    waiting: Waiting | None
    """What to do where a batch does not come."""
    stable_index: bool
    """Whether an image has the same index in every epoch."""

    @property
    def splits(self) -> Splits: ...
    @property
    def train_size(self) -> int: ...
    @property
    def batches_per_epoch(self) -> int: ...
    @property
    def steps_per_epoch(self) -> int: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def words(self) -> dict[str, str]: ...
    def learn_from(self, labels: str) -> None: ...
    def train_dataloader(self, batch_size: int | None = None) -> DataLoader[Batch]: ...
    def val_dataloader(
        self, limit: int | None = None, first_classes: int | None = None
    ) -> DataLoader[Batch]: ...
    def bank_dataloader(self, limit: int | None = None) -> DataLoader[Batch]: ...
    def unaugmented_dataloader(self) -> DataLoader[Batch]: ...


class TrainingModule(L.LightningModule):
    """Training, as the machinery of a run sees it."""

    absolute_lr: float | None
    base_lr: float
    clip: object
    """What cuts gradients down; None for nothing."""
    resumed_at: Position | None
    """Where it goes on, of a run that was resumed."""

    @property
    @abstractmethod
    def length(self) -> int:
        """Optimiser steps of the whole training."""


def data_of(trainer: L.Trainer) -> TrainingData:
    """Data that a trainer trains on."""
    data: TrainingData = trainer.datamodule  # type: ignore[attr-defined]  # Lightning does not declare it
    return data
