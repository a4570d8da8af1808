"""One bar for the whole training: loss, images per second, time left."""

import time

import pytorch_lightning as L
from pytorch_lightning.utilities.types import STEP_OUTPUT
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from mim.batch import Batch
from mim.ranges import Count, NotNegative
from mim.run.position import batches_done
from mim.train.training import Training


class Progress(L.Callback):
    """A bar on a terminal; elsewhere a line now and then.

    Args:
        refresh_seconds: how often the bar reads the loss. Reading waits for the device, so not at
            every step.
        lines: how many lines a whole training prints where there is no terminal.
    """

    def __init__(self, refresh_seconds: NotNegative = 0.5, lines: Count = 10):
        self.refresh_seconds, self.lines = refresh_seconds, lines
        self._console = Console()
        self._bar: Bar | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Draw the bar where training (re)starts."""
        self._per_step = trainer.accumulate_grad_batches
        self._total = pl_module.length * self._per_step
        self._start = self._now = batches_done(trainer)
        self._started = self._drawn = time.monotonic()
        self._images = 0
        if trainer.is_global_zero and self._console.is_terminal:
            self._bar = Bar(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[numbers]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task(
                "", total=self._steps(self._total), epoch="", numbers=""
            )
            self._bar.start()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: Training,
        outputs: STEP_OUTPUT,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count the batch, and draw the bar anew where it is time."""
        if not trainer.is_global_zero:
            return
        self._now += 1
        self._images += len(batch.image) * trainer.world_size
        if self._bar is not None:
            if time.monotonic() - self._drawn > self.refresh_seconds or self._now == self._total:
                epoch = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
                self._bar.update(
                    self._task,
                    completed=self._steps(self._now),
                    epoch=epoch,
                    numbers=self._numbers(outputs),
                )
        elif self._now * self.lines // self._total > (self._now - 1) * self.lines // self._total:
            left = (
                (time.monotonic() - self._started)
                * (self._total - self._now)
                / (self._now - self._start)
            )
            step = f"step {self._steps(self._now)}/{self._steps(self._total)}"
            place = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {step}"
            print(f"{place}  {self._numbers(outputs)}  {left:.0f} s left", flush=True)

    def _steps(self, batches: int) -> int:
        """Optimiser steps that so many batches make."""
        return batches // self._per_step

    def _numbers(self, outputs: STEP_OUTPUT) -> str:
        """Loss now, images per second since this was last asked."""
        assert isinstance(outputs, dict)  # of a step that optimises by itself
        # Lightning divides it by the batches of a step
        loss = float(outputs["loss"]) * self._per_step
        seconds, self._drawn = time.monotonic() - self._drawn, time.monotonic()
        images, self._images = self._images, 0
        return f"loss {loss:.4f}  {images / seconds:,.0f} images/s"

    def on_train_end(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Leave the bar as it is."""
        self._stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: Training, exception: BaseException
    ) -> None:
        """Leave the bar as it is."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
