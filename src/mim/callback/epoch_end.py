"""What happens at the end of an epoch happens once, also where a run was stopped between its last step and that end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as L


class EpochEnd(L.Callback):
    """On resuming from a checkpoint that was written with the last step of an epoch, do what its end still owes.

    Lightning would go on with the next epoch: held-out images and features not judged, pictures not drawn, the epoch's own
    checkpoint not kept.
    """

    def __init__(self) -> None:
        self._owed = False

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Write down whether the end of the epoch is still to come."""
        loop = trainer.fit_loop
        ended = loop.epoch_progress.current.processed == loop.epoch_progress.current.started
        checkpoint["owes_epoch_end"] = loop.epoch_loop.batch_progress.is_last_batch and not ended

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Remember it."""
        self._owed = checkpoint.get("owes_epoch_end", False)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """End the epoch, after everything else has started."""
        if not self._owed:
            return
        self._owed = False
        loop = trainer.fit_loop
        for progress in (loop.epoch_progress.current, loop.epoch_progress.total):  # Lightning counts it as ended
            progress.processed -= 1
            progress.completed -= 1
        if trainer.enable_validation:
            trainer.validating = True
            loop.epoch_loop._batches_that_stepped -= 1  # held-out images are logged with the epoch's last step
            loop.epoch_loop.val_loop.run()
            loop.epoch_loop._batches_that_stepped += 1
            trainer.training = True
        loop.on_advance_end()


@contextmanager
def as_after_last_batch(trainer: Any) -> Iterator[None]:
    """While an epoch is ending, let a checkpoint say that its last step was just taken: then resuming ends it."""
    loop = trainer.fit_loop
    counts = (loop.epoch_loop.batch_progress.current, loop.epoch_loop.batch_progress.total)
    epochs = (loop.epoch_progress.current, loop.epoch_progress.total)
    for count in counts:
        count.completed -= 1
    for epoch in epochs:
        epoch.processed -= 1
    loop.epoch_loop._batches_that_stepped -= 1
    try:
        yield
    finally:
        for count in counts:
            count.completed += 1
        for epoch in epochs:
            epoch.processed += 1
        loop.epoch_loop._batches_that_stepped += 1
