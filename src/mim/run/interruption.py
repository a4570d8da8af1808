"""Ctrl-C, SIGTERM, SIGUSR1, a limit of time or steps, a callback that has enough, no more data:
save, stop.
"""

import signal
import time
from pathlib import Path

import pytorch_lightning as L
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.types import STEP_OUTPUT

from mim.batch import Batch
from mim.data.loader import STUCK_AFTER, Waiting, WorkerLost
from mim.launch.errors import Interrupted, explain
from mim.launch.signals import listener, wait_for_the_step
from mim.ranges import Count, Positive
from mim.run.extremes import largest, smallest
from mim.run.insides import callbacks_of, leave_signals_alone, take_over_limit_of_steps
from mim.run.training_data import TrainingModule, data_of

TIME_LIMIT, STEP_LIMIT, ENOUGH = 1000, 1001, 1002  # beyond all signals


class Interruption(L.Callback):
    """Turn whatever ends a run before its time into a checkpoint that resumes exactly: a signal,
    `trainer.max_time`, `trainer.max_steps`, or a callback that sets `trainer.should_stop`.

    `max_time` counts from the start of this process: a run that was stopped by it goes on for as
    long again. `max_steps` counts the steps of all attempts, and leaves the schedule as it is: that
    of `epochs=` or `steps=`, the length of the training.

    Args:
        checkpoint: file to write.
        agree_every_n_steps: how often several processes ask each other whether one of them was told
            to stop.
        stuck_after_seconds: how long no process that reads data may read anything while a batch is
            waited for.
    """

    def __init__(
        self,
        checkpoint: str,
        agree_every_n_steps: Count = 10,
        stuck_after_seconds: Positive = STUCK_AFTER,
    ):
        self.checkpoint, self.agree_every_n_steps = Path(checkpoint), agree_every_n_steps
        self.stuck_after_seconds = stuck_after_seconds
        self._stopped: Interrupted | None = None
        self._deadline, self._most = float("inf"), float("inf")
        self._judged_by_all = 0.0

    def setup(self, trainer: L.Trainer, pl_module: TrainingModule, stage: str) -> None:
        """Take the place of Lightning's own ways to stop: its timer, too, ends a run as if it were
        complete.
        """
        leave_signals_alone(trainer)
        callbacks = callbacks_of(trainer)
        for timer in [callback for callback in callbacks if isinstance(callback, Timer)]:
            self._deadline = time.monotonic() + (timer.time_remaining() or 0)
            callbacks.remove(timer)
        self._most = min(self._most, take_over_limit_of_steps(trainer))
        data = data_of(trainer)
        data.waiting = _Waiting(self, trainer, pl_module)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: TrainingModule, batch: Batch, batch_idx: int
    ) -> None:
        """After the last step, stop: the loggers have what the saved step said.

        Raises:
            Interrupted: everything is saved.
        """
        if trainer.global_step >= self._most:  # the attempt before this one saved it
            raise self._interrupted(STEP_LIMIT)
        self._raise_if_stopped()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: TrainingModule,
        outputs: STEP_OUTPUT,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Save if this process, or any other, was told to stop, or enough steps are taken."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        cause = STEP_LIMIT * (self._most <= trainer.global_step < pl_module.length)
        agreeing = trainer.global_step % self.agree_every_n_steps == 0 or trainer.is_last_batch
        if trainer.world_size == 1 or agreeing:
            cause = max(cause, self._cause(trainer, pl_module))
        if cause:
            self._save(trainer, cause)

    def on_validation_start(self, trainer: L.Trainer, pl_module: TrainingModule) -> None:
        """Stop, if the saved step was the last of its epoch, or a callback ends the training within
        one; what comes at the end of an epoch is done when the run goes on.

        Raises:
            Interrupted: everything is saved.
        """
        if trainer.should_stop and not trainer.is_last_batch:
            self._save(trainer, ENOUGH)
        self._raise_if_stopped()
        self._judged_by_all = smallest(sum(map(float, trainer.num_val_batches)), trainer, pl_module)

    def on_validation_batch_start(
        self,
        trainer: L.Trainer,
        pl_module: TrainingModule,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop while held-out images are judged: all of them are judged anew when the run goes on.

        Raises:
            Interrupted: everything is saved.
        """
        self.pause_before(batch_idx, self._judged_by_all, trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: TrainingModule) -> None:
        """The same where nothing is held out.

        Raises:
            Interrupted: everything is saved.
        """
        if trainer.should_stop and not trainer.is_last_batch:
            self._save(trainer, ENOUGH)
        self._raise_if_stopped()

    def on_train_end(self, trainer: L.Trainer, pl_module: TrainingModule) -> None:
        """A callback ended the training after a whole epoch: save, and say how to go on."""
        if trainer.global_step < pl_module.length:
            self._save(trainer, ENOUGH)
            rank_zero_only(print)(
                f"{'ended early':<14}at step {trainer.global_step:,} of {pl_module.length:,}, "
                f"{self._stopped}"
            )

    def pause_before(
        self, number: int, shared: float, trainer: L.Trainer, pl_module: TrainingModule
    ) -> None:
        """Stop before a batch that is only judged, if asked; several processes ask each other
        before some of them.

        Args:
            number: of the batch, from 0.
            shared: how many batches every process has: at those that only some have, nobody may
                wait for the others.
            trainer: of this process.
            pl_module: what it trains.

        Raises:
            Interrupted: everything is saved.
        """
        if trainer.world_size == 1 or (number < shared and number % self.agree_every_n_steps == 0):
            self.pause(trainer, pl_module)

    def pause(self, trainer: L.Trainer, pl_module: TrainingModule) -> None:
        """Stop between two steps, where the weights are at rest. All processes come here together.

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

    def stop_without_batch(self, trainer: L.Trainer, pl_module: TrainingModule) -> None:
        """Stop, if asked, where the next batch never comes. Several processes cannot: the others
        are not here.

        Raises:
            Interrupted: everything is saved.
        """
        if self._stopped:
            raise self._stopped
        if trainer.world_size == 1:
            self.pause(trainer, pl_module)

    @property
    def asked(self) -> int:
        """The signal, or TIME_LIMIT, that this process knows of; 0 for none."""
        return listener.received or TIME_LIMIT * (time.monotonic() > self._deadline)

    def on_exception(
        self, trainer: L.Trainer, pl_module: TrainingModule, exception: BaseException
    ) -> None:
        """Save where no more batches come: no step is half done."""
        if not isinstance(exception, WorkerLost):
            return
        how = "go on with resume=, from the last checkpoint"
        if trainer.world_size == 1 and trainer.global_step > 0:
            trainer.save_checkpoint(self.checkpoint)
            how = f"everything is saved, continue with resume={self.checkpoint}"
        explain(exception, f"{exception}; {how}")

    def _cause(self, trainer: L.Trainer, pl_module: TrainingModule) -> int:
        """The signal, or TIME_LIMIT, that any process knows of; 0 for none."""
        return int(largest(self.asked, trainer, pl_module))

    def _interrupted(self, cause: int) -> Interrupted:
        names = {
            TIME_LIMIT: "its time limit (trainer.max_time)",
            STEP_LIMIT: f"trainer.max_steps={self._most}",
            ENOUGH: "a callback (trainer.should_stop)",
        }
        name = names.get(cause) or signal.Signals(cause).name
        return Interrupted(
            name, f"continue with resume={self.checkpoint}", asked_for=cause in (STEP_LIMIT, ENOUGH)
        )


class _Waiting(Waiting):
    """Where a batch does not come, a run that is asked to stop saves and stops."""

    def __init__(self, interruption: Interruption, trainer: L.Trainer, pl_module: TrainingModule):
        self.interruption, self.trainer, self.pl_module = interruption, trainer, pl_module
        self.stuck_after = interruption.stuck_after_seconds

    def asked_to_stop(self) -> bool:
        return self.interruption.asked != 0

    def lost(self) -> None:
        self.interruption.stop_without_batch(self.trainer, self.pl_module)
