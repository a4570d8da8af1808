"""Batches that are looked at between two epochs, which a signal ends too."""

from collections.abc import Iterator

import pytorch_lightning as L
from torch.utils.data import DataLoader

from mim.batch import Batch
from mim.run.extremes import smallest
from mim.run.insides import callbacks_of
from mim.run.interruption import Interruption
from mim.run.training_data import TrainingModule


def until_stopped(
    batches: DataLoader[Batch], trainer: L.Trainer, pl_module: TrainingModule
) -> Iterator[Batch]:
    """Batches that are looked at between two epochs, each process its own: a signal ends that, too.
    All come here together.

    Raises:
        Interrupted: everything is saved.
    """
    shared = smallest(len(batches), trainer, pl_module)
    interruptions = [
        callback for callback in callbacks_of(trainer) if isinstance(callback, Interruption)
    ]
    for number, batch in enumerate(batches):
        for interruption in interruptions:
            interruption.pause_before(number, shared, trainer, pl_module)
        yield batch
