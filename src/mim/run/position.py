"""Where a training is: what Lightning counts, for a run whose steps or epochs have another
length.
"""

from typing import NamedTuple, Protocol

import pytorch_lightning as L

from mim.part import Saved
from mim.run.insides import set_steps_logged


class Pace(NamedTuple):
    """How a training walks through its images."""

    images: int
    """Of a step, over all processes."""
    steps: int
    """Of an epoch."""
    training_set: int
    """Images to learn from."""


class Position(NamedTuple):
    """Where a training goes on."""

    epoch: int
    """Epochs whose steps are all done."""
    step: int
    """Steps of the next one that are done."""
    again: int = 0
    """Images of the next one that are seen a second time, because they fill no whole step."""


class Length(NamedTuple):
    """How long a training is."""

    training: int
    """Its optimiser steps."""
    epoch: int
    """Steps of an epoch; the last may have fewer."""
    step: int
    """Batches of a step, in each process."""
    judged_every: int
    """Epochs after which held-out images are judged; 0 for never."""


class Paced(Protocol):
    """Data of a training, as far as its lengths."""

    @property
    def batches_per_epoch(self) -> int: ...
    @property
    def steps_per_epoch(self) -> int: ...


def position_after(steps: int, before: Pace, now: Pace) -> Position:
    """Where a training that has taken some steps goes on at another pace: after the same images of
    the same epoch.
    """
    epoch, done = divmod(steps, max(1, before.steps))
    step, again = divmod(done * before.images, now.images)
    return Position(epoch, step, again) if step < now.steps else Position(epoch + 1, 0)


def position_to_resume(checkpoint: Saved, now: Pace, length: int) -> Position:
    """Where a training of so many steps goes on from a checkpoint.

    Raises:
        ValueError: where the images are not the same, or nothing is left to do.
    """
    before = Pace(**checkpoint.get("pace", now._asdict()))
    if before.training_set != now.training_set:
        raise ValueError(
            "resume= goes on with the images that the run was started with, "
            f"{before.training_set:,} of them, and there are {now.training_set:,} here; give "
            "those, or start anew from its weights with checkpoint="
        )
    at = position_after(checkpoint["global_step"], before, now)
    taken = at.epoch * now.steps + at.step
    if taken > length:
        raise ValueError(
            f"{at.epoch} epochs ({taken:,} steps) are done, which is more than is asked for; "
            "epochs= and steps= count those that are done too"
        )
    return at


def go_on_from(checkpoint: Saved, taken: int, length: Length) -> None:
    """Let a checkpoint say that a training has taken so many steps: one number from which all of
    Lightning's follow.

    After the last step of an epoch the end of that epoch is still to come, whether or not it was
    begun, or done, when the checkpoint was written: Lightning's loop finds no batch left, judges
    what is held out, and ends the epoch. Schedules count steps as if all had been of one length, so
    that they end where the training does.

    Args:
        checkpoint: what Lightning saved; changed in place.
        taken: optimiser steps.
        length: of the training.
    """
    for schedule in checkpoint["lr_schedulers"]:
        schedule["last_epoch"] = taken
    if taken == 0:
        del checkpoint["loops"]  # begin as if there had been none
        return
    epoch = (taken - 1) // length.epoch  # that the last step is of
    done = taken - epoch * length.epoch
    over = done == min(length.epoch, length.training - epoch * length.epoch)
    judged = over and length.judged_every > 0 and (epoch + 1) % length.judged_every == 0
    fit = checkpoint["loops"]["fit_loop"]
    progress, epochs = fit["epoch_loop.batch_progress"], fit["epoch_progress"]
    optimizer = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    held_out = fit["epoch_loop.val_loop.batch_progress"]
    for part, steps in (("total", taken), ("current", done)):
        _count(progress[part], steps * length.step)
        _count(fit["epoch_loop.scheduler_progress"][part], steps)
        for kind in ("step", "zero_grad"):
            _count(optimizer[kind][part], steps)
        _count(epochs[part], epoch)
        epochs[part].update(ready=epoch + 1, started=epoch + 1)
        _count(held_out[part], 0)  # what was half judged is judged again
    held_out["total"].update(ready=int(judged), started=int(judged))  # where Lightning goes back to
    progress["is_last_batch"] = over
    # counted once what is held out is judged
    fit["epoch_loop.state_dict"]["_batches_that_stepped"] = taken - judged


def _count(counts: dict[str, int], value: int) -> None:
    counts.update(dict.fromkeys(counts, value))


def batches_done(trainer: L.Trainer) -> int:
    """Batches that each process has trained on, over all epochs."""
    done: int = trainer.fit_loop.epoch_loop.batch_progress.state_dict()["total"]["processed"]
    return done


def begin_at(trainer: L.Trainer, data: Paced, epoch: int) -> int:
    """Let a training that has not begun begin with an epoch, counted from 0: Lightning's counters
    and the schedules.

    Returns:
        Optimiser steps that are taken as done.
    """
    loop = trainer.fit_loop
    batches, step = epoch * data.batches_per_epoch, epoch * data.steps_per_epoch
    taken = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
    counted = [
        (loop.epoch_progress.total, epoch),
        (loop.epoch_progress.current, epoch),
        (loop.epoch_loop.batch_progress.total, batches),
        (taken, step),
    ]
    for counts, value in counted:
        for name in vars(counts):
            setattr(counts, name, value)
    set_steps_logged(trainer, step)
    for config in trainer.lr_scheduler_configs:
        config.scheduler.load_state_dict({"last_epoch": step})
    return step
