"""When checkpoints are written: `last.ckpt` every n steps and at the end, and one to keep every n
epochs.
"""

from pathlib import Path

import pytorch_lightning as L
from pytorch_lightning.utilities.types import STEP_OUTPUT

from mim.batch import Batch
from mim.ranges import Count
from mim.run.training_data import TrainingModule


class Checkpoint(L.Callback):
    """Write checkpoints.

    Args:
        folder: where they go.
        last_every_n_steps: how often `last.ckpt` is replaced; also with the last step, before
            features are judged.
        keep_every_n_epochs: how often one is kept under its epoch's number, or null for never.
    """

    def __init__(
        self, folder: str, last_every_n_steps: Count = 500, keep_every_n_epochs: Count | None = None
    ):
        self.folder = Path(folder)
        self.last_every_n_steps, self.keep_every_n_epochs = last_every_n_steps, keep_every_n_epochs

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: TrainingModule,
        outputs: STEP_OUTPUT,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Replace `last.ckpt` when it is due, at the end of an optimiser step, and at the very
        last.
        """
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        very_last = trainer.global_step == pl_module.length
        if stepped and (very_last or trainer.global_step % self.last_every_n_steps == 0):
            trainer.save_checkpoint(self.folder / "last.ckpt")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: TrainingModule) -> None:
        """Keep this epoch if it is due."""
        epoch = trainer.current_epoch + 1
        if self.keep_every_n_epochs and epoch % self.keep_every_n_epochs == 0:
            trainer.save_checkpoint(self.folder / f"epoch_{epoch:04d}.ckpt")
