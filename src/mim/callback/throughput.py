"""How fast training goes, and what it waits for."""

import time
from functools import partial

import pytorch_lightning as L
import torch
from pytorch_lightning.utilities.types import STEP_OUTPUT

from mim.analysis.cost import flops, forward_flops, peak_flops, peak_memory, teacher_flops
from mim.batch import Batch
from mim.ranges import NonNegativeInt
from mim.run.insides import steps_between_logs
from mim.strategy.sharding import unsharded
from mim.teacher.views import ViewsEMA
from mim.train.training import Training


class Throughput(L.Callback):
    """Log images per second, the share of time spent waiting for data, peak memory, and model FLOPs
    utilisation.

    Time between epochs, when features are judged and pictures are drawn, does not count. On a GPU
    it is the GPU that waits: from the end of one step until the next begins there, however far the
    host has run ahead.

    Args:
        skip_first_steps: steps that do not count: they compile, choose kernels and fill buffers.
    """

    def __init__(self, skip_first_steps: NonNegativeInt = 5):
        self.skip_first_steps = skip_first_steps
        self._steps = self._images = 0
        self._seconds = self._waited = self._mark = 0.0
        self._flops_per_image = 0.0
        self._peak: float | None = None
        # when the GPU was done with the last step, an event
        self._ended: torch.cuda.Event | None = None
        # from there until it began the next
        self._gaps: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def _since_mark(self) -> float:
        before, self._mark = self._mark, time.perf_counter()
        return self._mark - before

    def on_train_start(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Know what the device could do."""
        self._peak = peak_flops(pl_module.device, trainer.precision)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Start the clock: what passed between epochs is not counted."""
        self._since_mark()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: Training, batch: Batch, batch_idx: int
    ) -> None:
        """The batch is here: what passed since the last step ended was waiting."""
        if self._peak and not self._flops_per_image:
            self._flops_per_image = flops_per_image(pl_module, batch)
        waited = self._since_mark()
        if self._steps >= self.skip_first_steps:
            self._seconds += waited
            if pl_module.device.type != "cuda":
                self._waited += waited
            elif self._ended is not None:
                self._gaps.append((self._ended, _event(pl_module.device)))

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: Training,
        outputs: STEP_OUTPUT,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count the step. What is logged waits for the device: here, so that its backlog is not
        taken for waiting.
        """
        due = trainer.global_step % steps_between_logs(trainer) == 0
        if pl_module.device.type == "cuda":
            self._ended = _event(pl_module.device)
            if due:
                self._settle(pl_module.device)
        spent = self._since_mark()
        if self._steps >= self.skip_first_steps:
            self._seconds += spent
            self._images += len(batch.image) * trainer.world_size
        self._steps += 1
        if self._images and due:
            pl_module.log_dict(self.numbers(pl_module.device, trainer.world_size))

    def on_validation_start(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Stop the clock, before the epoch is over."""
        self.on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Start the clock again: judging is not counted."""
        self._since_mark()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Wait for the device, so that its backlog is counted with training and not with what
        watches.
        """
        if pl_module.device.type == "cuda":
            self._settle(pl_module.device)
            self._seconds += self._since_mark()
            self._ended = None

    def _settle(self, device: torch.device) -> None:
        """Wait for the GPU, and add up how long it had waited."""
        torch.cuda.synchronize(device)
        self._waited += sum(ended.elapsed_time(began) for ended, began in self._gaps) / 1000
        self._gaps = []

    def numbers(self, device: torch.device, world_size: int) -> dict[str, float]:
        """What has been measured since training started."""
        if not self._images:
            return {}
        rate = self._images / self._seconds
        numbers = {
            "throughput/images_per_second": rate,
            "throughput/data_wait": self._waited / self._seconds,
            "throughput/peak_memory_bytes": float(peak_memory(device)),
        }
        if self._peak:
            numbers["throughput/flops_utilisation"] = (
                rate * self._flops_per_image / (self._peak * world_size)
            )
        return numbers


def flops_per_image(module: Training, batch: Batch) -> float:
    """Work of one image in a step: backward costs two forwards, a teacher has none; of several
    views all are counted, and of masks that differ the mean of the batch.
    """
    model, teacher, device = module.model, module.teacher, module.device
    views = batch if isinstance(teacher, ViewsEMA) else None
    with unsharded(model):
        found = 3 * (
            forward_flops(model, device)
            if views is None
            else flops(partial(model, views), len(views.key))
        )
    if teacher is None:
        return found
    with unsharded(teacher):
        seen = (
            teacher_flops(teacher, teacher.network, device)
            if views is None
            else flops(partial(teacher, views), len(views.key))
        )
    return found + seen


def _event(device: torch.device) -> torch.cuda.Event:
    """A moment on the GPU's own clock, once it gets there."""
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event
