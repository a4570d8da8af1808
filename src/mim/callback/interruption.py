"""Ctrl-C, SIGTERM, SIGUSR1 and a time limit: finish the step, save, stop."""

import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import Timer

from mim.callback.epoch_end import as_after_last_batch
from mim.launch.errors import Interrupted
from mim.launch.signals import listener, wait_for_the_step
from mim.ranges import Count

TIME_LIMIT = 1000  # beyond all signals


class Interruption(L.Callback):
    """Turn a signal, or the end of `trainer.max_time`, into a checkpoint that resumes exactly.

    `max_time` counts from the start of this process: a run that was stopped by it goes on for as long again.

    Args:
        checkpoint: file to write.
        agree_every_n_steps: how often several processes ask each other whether one of them was told to stop.
    """

    def __init__(self, checkpoint: str, agree_every_n_steps: Count = 10):
        self.checkpoint, self.agree_every_n_steps = Path(checkpoint), agree_every_n_steps
        self._stopped: Interrupted | None = None
        self._deadline = float("inf")

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Take the place of Lightning's own ways to stop.

        Its handler of SIGTERM talks to the other processes from within the handler; its SIGUSR1 under SLURM writes a checkpoint
        of its own and requeues without stopping; its timer ends a run as if it were complete.
        """
        connector: Any = trainer._signal_connector
        connector.register_signal_handlers = lambda: None
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        for timer in [callback for callback in callbacks if isinstance(callback, Timer)]:
            self._deadline = time.monotonic() + (timer.time_remaining() or 0)
            callbacks.remove(timer)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """From the first step on, signals wait for its end. After the last, stop: the loggers have what the saved step said.

        Raises:
            Interrupted: everything is saved.
        """
        if self._stopped:
            raise self._stopped
        if not listener.patient:
            wait_for_the_step()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if this process, or any other, was told to stop."""
        accumulated = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if accumulated and (
            trainer.world_size == 1 or batch_idx % self.agree_every_n_steps == 0 or trainer.is_last_batch
        ):
            cause = self._cause(trainer, pl_module)
            if cause:
                trainer.save_checkpoint(self.checkpoint)
                self._stopped = self._interrupted(cause)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop, if the saved step was the last of its epoch; what follows is done when the run goes on.

        Raises:
            Interrupted: everything is saved.
        """
        if self._stopped:
            raise self._stopped

    def pause(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop between two epochs, where the weights are at rest. All processes come here together.

        Raises:
            Interrupted: everything is saved.
        """
        cause = self._cause(trainer, pl_module) if listener.patient else 0
        if cause:
            with as_after_last_batch(trainer):
                trainer.save_checkpoint(self.checkpoint)
            raise self._interrupted(cause)

    def _cause(self, trainer: L.Trainer, pl_module: L.LightningModule) -> int:
        """The signal, or TIME_LIMIT, that any process knows of; 0 for none."""
        cause = listener.received or TIME_LIMIT * (time.monotonic() > self._deadline)
        if trainer.world_size == 1:
            return cause
        return int(trainer.strategy.reduce(torch.tensor(cause, device=pl_module.device), reduce_op="max"))

    def _interrupted(self, cause: int) -> Interrupted:
        name = "its time limit (trainer.max_time)" if cause == TIME_LIMIT else signal.Signals(cause).name
        return Interrupted(name, f"continue with resume={self.checkpoint}")


def stop_if_asked(trainer: Any, pl_module: Any) -> None:
    """Where something takes long between two epochs, let a signal end it. All processes have to come here together.

    Raises:
        Interrupted: everything is saved.
    """
    for callback in trainer.callbacks:
        if isinstance(callback, Interruption):
            callback.pause(trainer, pl_module)
