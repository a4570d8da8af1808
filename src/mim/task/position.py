"""Where a training is: what Lightning counts, in steps of another number of batches."""

from collections.abc import Mapping
from typing import Any


def count_in_batches_of(loops: Mapping[str, Any], before: int, now: int) -> None:
    """Keep the place of a run whose steps are made of another number of batches: as many steps as were done.

    Args:
        loops: what Lightning saved of its loops; changed in place.
        before: accumulated batches of a step when it was saved, at the end of a step.
        now: those of the run that goes on.
    """
    batches: Any = loops["fit_loop"]["epoch_loop.batch_progress"]
    for counts in (batches["total"], batches["current"]):
        more = counts["processed"] // before * now - counts["processed"]
        counts.update({name: count + more for name, count in counts.items()})


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
