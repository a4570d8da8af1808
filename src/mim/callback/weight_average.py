"""Judge and keep an exponential moving average of the weights, as ViTs are trained with labels
(arXiv 2111.06377, appendix A.2).
"""

from typing import Annotated

import pytorch_lightning as L
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mim.part import Saved
from mim.ranges import Fraction, in_range
from mim.run.checkpoint import Checkpoint
from mim.run.insides import callbacks_of
from mim.run.interruption import Interruption
from mim.strategy.fsdp import FSDP
from mim.train.training import Training


class WeightAverage(WeightAveraging):
    """Average after every optimiser step; validation and checkpoints see the average, training goes
    on with its own weights.

    A checkpoint's `state_dict` is the average; a resumed run goes on exactly, with both.

    Args:
        decay: share of the old average that stays.

    Raises:
        ValueError: where the decay is no share, checkpoints would miss the last step, or no process
            has all weights.
    """

    @in_range
    def __init__(self, decay: Annotated[Fraction, "e.g. 0.9999"] = 0.9999):
        super().__init__(use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self._is_judged = False  # then it is in the place of the weights

    def setup(self, trainer: L.Trainer, pl_module: Training, stage: str) -> None:
        """Copy the weights."""
        callbacks = callbacks_of(trainer)
        if any(
            isinstance(other, Checkpoint | Interruption)
            for other in callbacks[: callbacks.index(self)]
        ):
            raise ValueError(
                "weight_average comes after callbacks that write checkpoints, which would miss the "
                "last step; name it first: "
                "callback=[weight_average,finetune]"
            )
        if isinstance(trainer.strategy, FSDP):
            raise ValueError(
                "weight_average keeps whole weights, and trainer=fsdp cuts them up; use "
                "trainer=ddp, or leave it out"
            )
        super().setup(trainer, pl_module, stage)

    def on_train_end(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Leave the weights as they are: a run that ends early is saved after this, and goes on
        with them.
        """

    def on_fit_start(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Follow the weights, which have been copied before they reached their device."""
        assert self._average_model is not None
        self._average_model.to(pl_module.device)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Judge the average."""
        super().on_validation_epoch_start(trainer, pl_module)
        self._is_judged = True

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Go on with the weights."""
        super().on_validation_epoch_end(trainer, pl_module)
        self._is_judged = False

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: Training, checkpoint: Saved
    ) -> None:
        """Both, each under its own name, also of a run that stops while the average is judged."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._is_judged:
            average, weights = checkpoint["current_model_state"], checkpoint["state_dict"]
            checkpoint["state_dict"], checkpoint["current_model_state"] = average, weights
