"""Ctrl-C, SIGTERM, SIGUSR1, a limit of time or steps, a callback that has enough: finish the step, save, stop."""

import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.utilities import rank_zero_only

from mim.launch.errors import Interrupted
from mim.launch.signals import listener, wait_for_the_step
from mim.ranges import Count

TIME_LIMIT, STEP_LIMIT, ENOUGH = 1000, 1001, 1002  # beyond all signals


class Interruption(L.Callback):
    """Turn whatever ends a run before its time into a checkpoint that resumes exactly: a signal, `trainer.max_time`,
    `trainer.max_steps`, or a callback that sets `trainer.should_stop`.

    `max_time` counts from the start of this process: a run that was stopped by it goes on for as long again. `max_steps` counts
    the steps of all attempts, and leaves the schedule as it is: that of `epochs=` or `steps=`, the length of the training.

    Args:
        checkpoint: file to write.
        agree_every_n_steps: how often several processes ask each other whether one of them was told to stop.
    """

    def __init__(self, checkpoint: str, agree_every_n_steps: Count = 10):
        self.checkpoint, self.agree_every_n_steps = Path(checkpoint), agree_every_n_steps
        self._stopped: Interrupted | None = None
        self._deadline, self._most = float("inf"), float("inf")

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Take the place of Lightning's own ways to stop.

        Its handler of SIGTERM talks to the other processes from within the handler; its SIGUSR1 under SLURM writes a checkpoint
        of its own and requeues without stopping; its timer and its count of steps end a run as if it were complete.
        """
        connector: Any = trainer._signal_connector
        connector.register_signal_handlers = lambda: None
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        for timer in [callback for callback in callbacks if isinstance(callback, Timer)]:
            self._deadline = time.monotonic() + (timer.time_remaining() or 0)
            callbacks.remove(timer)
        if trainer.max_steps != -1:
            self._most = trainer.max_steps
            trainer.fit_loop.epoch_loop.max_steps = -1

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """After the last step, stop: the loggers have what the saved step said.

        Raises:
            Interrupted: everything is saved.
        """
        if trainer.global_step >= self._most:  # the attempt before this one saved it
            raise self._interrupted(STEP_LIMIT)
        self._raise_if_stopped()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save if this process, or any other, was told to stop, or enough steps are taken."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        cause = STEP_LIMIT * (self._most <= trainer.global_step < pl_module.length)
        agreeing = trainer.global_step % self.agree_every_n_steps == 0 or trainer.is_last_batch
        if trainer.world_size == 1 or agreeing:
            cause = max(cause, self._cause(trainer, pl_module))
        if cause:
            self._save(trainer, cause)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop, if the saved step was the last of its epoch, or a callback ends the training within one; what comes at
        the end of an epoch is done when the run goes on.

        Raises:
            Interrupted: everything is saved.
        """
        if trainer.should_stop and not trainer.is_last_batch:
            self._save(trainer, ENOUGH)
        self._raise_if_stopped()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same where nothing is held out.

        Raises:
            Interrupted: everything is saved.
        """
        self.on_validation_start(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """A callback ended the training after a whole epoch: save, and say how to go on."""
        if trainer.global_step < pl_module.length:
            self._save(trainer, ENOUGH)
            rank_zero_only(print)(
                f"{'ended early':<14}at step {trainer.global_step:,} of {pl_module.length:,}, {self._stopped}"
            )

    def pause(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop between two epochs, where the weights are at rest. All processes come here together.

        Raises:
            Interrupted: everything is saved.
        """
        cause = self._cause(trainer, pl_module) if listener.patient else 0
        if cause:
            self._save(trainer, cause)
            self._raise_if_stopped()

    def _save(self, trainer: L.Trainer, cause: int) -> None:
        trainer.save_checkpoint(self.checkpoint)
        self._stopped = self._interrupted(cause)

    def _raise_if_stopped(self) -> None:
        if self._stopped:
            raise self._stopped
        if not listener.patient:  # from here on signals wait for the end of the step
            wait_for_the_step()

    def _cause(self, trainer: L.Trainer, pl_module: L.LightningModule) -> int:
        """The signal, or TIME_LIMIT, that any process knows of; 0 for none."""
        cause = listener.received or TIME_LIMIT * (time.monotonic() > self._deadline)
        if trainer.world_size == 1:
            return cause
        return int(trainer.strategy.reduce(torch.tensor(cause, device=pl_module.device), reduce_op="max"))

    def _interrupted(self, cause: int) -> Interrupted:
        names = {
            TIME_LIMIT: "its time limit (trainer.max_time)",
            STEP_LIMIT: f"trainer.max_steps={self._most}",
            ENOUGH: "a callback (trainer.should_stop)",
        }
        name = names.get(cause) or signal.Signals(cause).name
        return Interrupted(name, f"continue with resume={self.checkpoint}", asked_for=cause in (STEP_LIMIT, ENOUGH))


def stop_if_asked(trainer: Any, pl_module: Any) -> None:
    """Where something takes long between two epochs, let a signal end it. All processes have to come here together.

    Raises:
        Interrupted: everything is saved.
    """
    for callback in trainer.callbacks:
        if isinstance(callback, Interruption):
            callback.pause(trainer, pl_module)
