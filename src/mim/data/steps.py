"""Steps of an epoch: how many batches a process takes of it, and among which a training begins and
ends.
"""

from typing import Any, NamedTuple

import pytorch_lightning as L


class Steps(NamedTuple):
    """Steps that the processes of a trainer take of one epoch of images."""

    trainer: L.Trainer | None
    """None: one process, one batch a step."""
    images: int
    """Of the training set."""
    batch_size: int
    """Of each process."""

    @property
    def rank_and_world_size(self) -> tuple[int, int]:
        """This process among all."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    @property
    def accumulated(self) -> int:
        """Batches of one optimiser step."""
        return self.trainer.accumulate_grad_batches if self.trainer else 1

    @property
    def batches(self) -> int:
        """Batches that each process takes per epoch, those of whole optimiser steps; known without
        building the loader.

        Raises:
            ValueError: where `trainer.limit_train_batches` leaves no whole step.
        """
        accumulated, limit = self.accumulated, 1.0
        if self.trainer:
            limit = self.trainer.limit_train_batches
        step = self.batch_size * self.rank_and_world_size[1] * accumulated
        batches = self.images // step * accumulated
        taken = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        if 0 < taken < accumulated:
            raise ValueError(
                f"trainer.limit_train_batches={limit} takes {taken} of the {accumulated} batches "
                f"of a step; take {accumulated} at least, or make steps smaller, e.g. "
                "images_per_step=null"
            )
        return taken // accumulated * accumulated

    @property
    def start(self) -> tuple[int, int]:
        """(epoch, batches of it done): Lightning restores its progress before it first asks for the
        loader.

        Where all are done, the end of that epoch is still to come.
        """
        if not self.trainer:
            return 0, 0
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress
        done, whole = progress.total.processed, max(1, self.batches)
        epoch = max(0, done - 1) // whole
        return epoch, done - epoch * whole

    def last(self, steps: int | None) -> tuple[int, int] | None:
        """(epoch, batches of it) in which a training of so many steps ends, where that epoch is no
        whole one.
        """
        epoch, batches = divmod((steps or 0) * self.accumulated, max(1, self.batches))
        return (epoch, batches) if batches else None
