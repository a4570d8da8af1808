"""Where a training is: what Lightning counts, for a run whose steps or epochs have another length."""

from typing import Any, NamedTuple


class Pace(NamedTuple):
    """How a training walks through its images."""

    images: int
    """Of a step, over all processes."""
    steps: int
    """Of an epoch."""
    training_set: int
    """Images to learn from."""


class Place(NamedTuple):
    """Where a training goes on."""

    epoch: int
    """Epochs whose steps are all done."""
    step: int
    """Steps of the next one that are done."""
    again: int = 0
    """Images of the next one that are seen a second time, because they fill no whole step."""


def place(steps: int, before: Pace, now: Pace) -> Place:
    """Where a training that has taken some steps goes on at another pace: after the same images of the same epoch."""
    epoch, done = divmod(steps, max(1, before.steps))
    step, again = divmod(done * before.images, now.images)
    return Place(epoch, step, again) if step < now.steps else Place(epoch + 1, 0)


def go_on_from(checkpoint: dict[str, Any], at: Place, steps: int, batches: int) -> int:
    """Let a checkpoint say that a training stands at a place, by one number from which all of Lightning's follow.

    Within an epoch it is as Lightning saves it after a step, between two epochs as after the end of the first. Schedules
    count steps as if all had been of one length, so that they end where the training does.

    Args:
        checkpoint: what Lightning saved; changed in place.
        at: the place.
        steps: of an epoch.
        batches: of a step, in each process.

    Returns:
        Optimiser steps that count as done.
    """
    taken, within = at.epoch * steps + at.step, at.step > 0
    of_epoch = at.step or steps * (at.epoch > 0)
    fit = checkpoint["loops"]["fit_loop"]
    progress, epochs = fit["epoch_loop.batch_progress"], fit["epoch_progress"]
    optimizer = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    for part, done in (("total", taken), ("current", of_epoch)):
        _count(progress[part], done * batches)
        progress[part]["completed"] -= within
        for kind in ("step", "zero_grad"):
            _count(optimizer[kind][part], done)
        _count(fit["epoch_loop.scheduler_progress"][part], done)
        _count(epochs[part], at.epoch)
        epochs[part].update(dict.fromkeys(("ready", "started"), at.epoch + within))
        _count(fit["epoch_loop.val_loop.batch_progress"][part], 0)  # what was half judged is judged again
    progress["is_last_batch"] = not within
    fit["epoch_loop.state_dict"]["_batches_that_stepped"] = taken - within  # Lightning adds it, within an epoch
    for schedule in checkpoint["lr_schedulers"]:
        schedule["last_epoch"] = taken
    return taken


def _count(counts: dict[str, int], value: int) -> None:
    counts.update(dict.fromkeys(counts, value))


def begin_at(trainer: Any, epoch: int) -> int:
    """Let a training that has not begun begin with an epoch, counted from 0: Lightning's counters and the schedules.

    Returns:
        Optimiser steps that are taken as done.
    """
    loop, data = trainer.fit_loop, trainer.datamodule
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
    loop.epoch_loop._batches_that_stepped = step
    for config in trainer.lr_scheduler_configs:
        config.scheduler.begin_at(step)
    return step
