"""What every training shares: the scale of its learning rate, its schedule, its random streams."""

import math
import random
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch.optim import Optimizer

from mim.batch import Batch
from mim.draw import keys
from mim.encoder.model import Model
from mim.image_format import ImageFormat
from mim.loss.weights import NamedTerms
from mim.optim.number import NumberSchedule
from mim.optim.schedule import Schedule
from mim.optim.to_start import DecayToStart
from mim.part import Part, Progress, Saved, parts_of
from mim.ranges import NotNegative, Positive, Seed
from mim.run.position import Length, Pace, Position, go_on_from, position_to_resume
from mim.run.training_data import TrainingModule, data_of
from mim.teacher.average import Average
from mim.train.clip import Clip, clipped_in_mixed_precision, refuse_late_unscaling


class Training(TrainingModule):
    """Whatever is learned: one `objective` a step, at a rate that goes with the images of a step.

    Args:
        optimizer: builds the optimiser from parameter groups.
        schedule: share of the peak learning rate at (epoch, epochs, peak).
        base_lr: learning rate for an effective batch of 256; the peak is
            `base_lr * effective_batch / 256`.
        weight_decay: of matrices; vectors and biases are not decayed.
        compile: compile the step into one graph.
        seed: of everything random in a step that has no key of its own.
        lr: the peak itself, whatever the batch; null for `base_lr`, which is not used otherwise.
        weight_decay_schedule: of the decay; null for one that stays.
        clip: cuts gradients down once a step; null for none but the trainer's `gradient_clip_val`.
    """

    objective: Callable[..., object]
    model: Model
    clip: Clip | None

    def __init__(
        self,
        optimizer: Callable[..., Optimizer],
        schedule: Schedule,
        base_lr: Positive,
        weight_decay: NotNegative,
        compile: bool,
        seed: Seed,
        lr: Positive | None = None,
        weight_decay_schedule: NumberSchedule | None = None,
        clip: Clip | None = None,
    ):
        super().__init__()
        self.absolute_lr, self.weight_decay_schedule, self.clip = lr, weight_decay_schedule, clip
        self.optimizer, self.schedule = optimizer, schedule
        self.base_lr, self.weight_decay, self.seed = base_lr, weight_decay, seed
        self.teacher: Average | None = None
        self.start: DecayToStart | None = None
        self.loss: NamedTerms | None = None  # fine-tuning reconstructs nothing
        self.steps: int | None = None  # of the whole training, where its length is given in steps
        self.resumed_at: Position | None = None
        # a strategy that cuts the model up compiles what it cuts, and takes this off
        self.compiles = compile

    def setup(self, stage: str) -> None:
        """Where the length is given in steps, say how many epochs they are, the last of them
        perhaps not whole.
        """
        trainer, data = self.trainer, data_of(self.trainer)
        if trainer.max_epochs == -1 and self.steps is None:
            self.steps = trainer.max_steps
        if self.steps is not None:
            data.steps = self.steps
            trainer.fit_loop.max_epochs = math.ceil(self.steps / max(1, data.steps_per_epoch))

    def on_train_start(self) -> None:
        """Let Lightning judge what is held out after the last batch of an epoch, however many it
        has; tell the parts.

        A run resumed in mid-epoch begins no epoch: the parts are told here which one it is in.
        """
        trainer = self.trainer
        if trainer.val_check_interval == 1.0:
            trainer.val_check_batch = math.inf
        if self.resumed_at is None or not self.global_step:
            for part in self.parts:
                part.begin(self.model)
        self.on_train_epoch_start()

    def on_train_epoch_start(self) -> None:
        """Tell the parts."""
        self._begun = self.progress  # neither length changes within an epoch
        for part in self.parts:
            part.begin_epoch(self.current_epoch)

    def on_fit_start(self) -> None:
        """Compile the objective into one graph: the function, not the module, so that parameters
        keep their names.

        Raises:
            ValueError: where gradients are to be cut down in two ways.
        """
        if self.clip and self.trainer.gradient_clip_val:
            raise ValueError(
                f"clip={type(self.clip).__name__} and "
                f"trainer.gradient_clip_val={self.trainer.gradient_clip_val:g} both "
                "cut gradients down; leave one out, e.g. trainer.gradient_clip_val=null"
            )
        if self.compiles:
            self.objective = torch.compile(self.objective, fullgraph=True)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Give each (seed, step, process) random streams of its own, so that a resumed run draws
        what it would have drawn.

        They are for what has no key: stochastic depth, and what timm draws from Python and NumPy
        (mixup, random erasing).
        """
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        number = int(keys(self.seed, step, torch.tensor([self.global_rank])))
        torch.manual_seed(number)
        random.seed(number)
        np.random.seed(number % 2**32)  # noqa: NPY002  # timm draws from it
        progress = self._begun._replace(step=self.global_step)
        for part in self.parts:
            part.begin_step(progress)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], object] | None = None,
    ) -> None:
        """Step, and tell the parts."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        progress = self._begun._replace(step=self.global_step)
        for part in self.parts:
            part.after_step(self.model, progress)

    def on_save_checkpoint(self, checkpoint: Saved) -> None:
        """Say what a step is worth, another run may take steps of other images; and what the images
        are.
        """
        checkpoint["pace"] = self.pace._asdict()
        data = data_of(self.trainer)
        checkpoint["images"] = ImageFormat.of_data(data).to_plain()

    def on_load_checkpoint(self, checkpoint: Saved) -> None:
        """Go on after the same images of the same epoch, whatever a step is now.

        Raises:
            ValueError: where the images are not the same, or nothing is left to do.
        """
        now, trainer = self.pace, self.trainer
        at = self.resumed_at = position_to_resume(checkpoint, now, self.length)
        judged_every = (trainer.check_val_every_n_epoch or 1) if trainer.enable_validation else 0
        go_on_from(
            checkpoint,
            at.epoch * now.steps + at.step,
            Length(self.length, now.steps, trainer.accumulate_grad_batches, judged_every),
        )

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Cut the gradients of a whole step down, and tell the parts; Lightning asks once a step,
        after it has undone any scaling.

        Raises:
            ValueError: where the optimiser itself undoes the scaling, later than this.
        """
        refuse_late_unscaling(self.trainer, optimizer, bool(self.clip or gradient_clip_val))
        if self.clip:
            self.clip(self.parameters())
        elif not clipped_in_mixed_precision(
            self.trainer, optimizer, gradient_clip_val, gradient_clip_algorithm
        ):
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )
        for part in self.parts:
            part.before_step(self.model)

    @property
    def targets(self) -> str | None:
        """What is compared with, in words, where there is more to say than what the loss is."""
        return None

    @cached_property
    def parts(self) -> list[Part]:
        """What is told how the training goes."""
        return parts_of(self)

    @property
    def effective_batch(self) -> int:
        """Images per optimiser step, over all devices and accumulated batches."""
        data = data_of(self.trainer)
        return data.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches

    @property
    def pace(self) -> Pace:
        """Images of a step, steps of an epoch, and all images."""
        data = data_of(self.trainer)
        return Pace(self.effective_batch, data.steps_per_epoch, data.train_size)

    @property
    def length(self) -> int:
        """Optimiser steps of the whole training."""
        # not trainer.estimated_stepping_batches: it builds the loader before a resumed run knows
        # where it stopped
        return self.steps or (self.trainer.max_epochs or 0) * max(
            1, data_of(self.trainer).steps_per_epoch
        )

    @property
    def progress(self) -> Progress:
        """Progress at the step that is being made."""
        data = data_of(self.trainer)
        return Progress(self.global_step, self.length, max(1, data.steps_per_epoch))

    @property
    def lr(self) -> float:
        """Peak learning rate."""
        return self.absolute_lr or self.base_lr * self.effective_batch / 256
