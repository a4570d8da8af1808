"""Stop when the loss is no longer a number, before a checkpoint of broken weights replaces a good
one.
"""

import pytorch_lightning as L
import torch
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor

from mim.batch import Batch
from mim.launch.errors import NotFinite
from mim.part import Saved
from mim.ranges import Count
from mim.run.checkpoint import Checkpoint
from mim.run.insides import callbacks_of
from mim.run.training_data import TrainingModule


class StopOnNonFiniteLoss(L.Callback):
    """Remember on the device whether a loss was infinite or NaN; look now and then, and always
    before a checkpoint is written.

    Args:
        every_n_steps: how often to look. Looking waits for the device, so not at every step.
    """

    def __init__(self, every_n_steps: Count = 10):
        self.every_n_steps = every_n_steps
        self._broken_at: Tensor | None = None  # first broken step, or -1

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: TrainingModule,
        outputs: STEP_OUTPUT,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Remember, and look every n steps."""
        assert isinstance(outputs, dict)  # of a step that optimises by itself
        loss = outputs["loss"].detach()
        if self._broken_at is None:
            self._broken_at = torch.full((), -1, device=loss.device)
        newly = ~loss.isfinite() & (self._broken_at < 0)
        self._broken_at = torch.where(newly, trainer.global_step, self._broken_at)
        if (batch_idx + 1) % self.every_n_steps == 0:
            self._look(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: TrainingModule) -> None:
        """Stop the run where a loss of this epoch was not finite."""
        self._look(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: TrainingModule, checkpoint: Saved
    ) -> None:
        """Look, so that broken weights are never written."""
        self._look(trainer, pl_module)

    def _look(self, trainer: L.Trainer, module: TrainingModule) -> None:
        if self._broken_at is None:
            return
        # together: the loss of one process is broken a step before those of the others
        step = int(trainer.strategy.reduce(self._broken_at, reduce_op="max"))
        if step >= 0:
            raise NotFinite(
                f"the loss is not finite since step {step}; {_way_out(trainer, module)}"
            )


def _way_out(trainer: L.Trainer, module: TrainingModule) -> str:
    """Settings to add to the command, each of which can be typed as it stands."""
    rate = (
        f"lr={module.absolute_lr / 2:g}"
        if module.absolute_lr
        else f"base_lr={module.base_lr / 2:g}"
    )
    settings = [rate]
    if not module.clip:
        settings.append(f"trainer.gradient_clip_val={(trainer.gradient_clip_val or 2) / 2:g}")
    if trainer.precision != "32-true":
        settings.append("trainer.precision=32-true")
    last = next(
        (c.folder / "last.ckpt" for c in callbacks_of(trainer) if isinstance(c, Checkpoint)), None
    )
    if last and last.exists():
        return (
            f"the last checkpoint is from before: go on with resume={last} and "
            f"{' or '.join(settings)}"
        )
    return f"there is no checkpoint yet: begin again with {' or '.join(settings)}"
