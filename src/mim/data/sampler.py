"""Which images make up each batch, and from which key each takes its randomness.

Everything follows from (seed, epoch, position in the epoch): ranks cut one global batch into rows,
so any number of processes, workers or accumulated batches sees the same images with the same crops
and masks, and a run resumed in mid-epoch sees the batches that were left.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from mim.draw import keys


class Rows(NamedTuple):
    """What a data set is asked for: one batch."""

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    """(B,) int64, which images."""
    key: Tensor
    """(B,) int64, from which `mim.draw` takes all that is random about them."""

    def __reduce__(
        self,
    ) -> tuple[Callable[..., "Rows"], tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """To another process through a pipe: torch would send a tensor through shared memory, which
        may have no room.
        """
        return _rows, (self.index.numpy(), self.key.numpy())


def _rows(index: NDArray[np.int64], key: NDArray[np.int64]) -> Rows:
    return Rows(torch.from_numpy(index), torch.from_numpy(key))


class ShuffledRows(Sampler[Rows]):
    """Whole optimiser steps in a new order every epoch, without the incomplete last one.

    Batches that do not fill a step are left out, as the official releases do (MAE,
    main_pretrain.py:152 and engine_pretrain.py:31): so an epoch is the same images however a step
    is split.

    Args:
        size: images in the data set.
        batch_size: images per batch and process.
        seed: with the epoch, decides order and keys.
        rank: this process's place among `world_size`, which together take the rows of one global
            batch.
        world_size: number of processes.
        start: (epoch, batches of it already trained on), where a resumed run goes on.
        shuffle: if false, every epoch is the same: the images in their stored order, with the same
            keys.
        accumulated: batches of one optimiser step.
        limit: batches of an epoch, where not all are taken.
        last: (epoch, batches of it), the last epoch of a training, where that is no whole one.
        repeats: views of each image that follow each other, each with a key of its own and on
            another process than the one before. An epoch has as many views as without, of so many
            times fewer images (repeated augmentation, arXiv 1902.05509; facebookresearch/deit,
            samplers.py: RASampler).

    Raises:
        ValueError: where the data set does not fill one step, or no view is asked for.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        start: tuple[int, int] = (0, 0),
        shuffle: bool = True,
        accumulated: int = 1,
        limit: int | None = None,
        last: tuple[int, int] | None = None,
        repeats: int = 1,
    ):
        if repeats < 1:
            raise ValueError(
                f"repeats={repeats} views of an image; needs 1 at least, e.g. "
                "data.augment.repeats=3"
            )
        self.global_batch, self.accumulated = batch_size * world_size, accumulated
        step = self.global_batch * accumulated
        if not 0 < step <= size:
            most = size // (world_size * accumulated)
            turns = f" x {accumulated} accumulated batches" if accumulated > 1 else ""
            raise ValueError(
                f"data.batch_size={batch_size} on {world_size} process(es){turns} is a step of "
                f"{step} images, but "
                f"the training set has {size} images; allowed: 1 to {most}. Lower it, e.g. "
                f"data.batch_size={max(1, most // 4)}, or images_per_step={max(1, size // 4)}"
            )
        self.size, self.batch_size, self.seed, self.shuffle = size, batch_size, seed, shuffle
        self.rank, self.start, self.limit, self.last, self.epoch = (
            rank,
            start,
            limit,
            last,
            start[0],
        )
        self.repeats = repeats

    def __len__(self) -> int:
        """Batches in a whole epoch, also while a resumed one is shorter."""
        if self.last and self.epoch == self.last[0]:
            return self.last[1]
        batches = self.size // (self.global_batch * self.accumulated) * self.accumulated
        return batches if self.limit is None else min(batches, self.limit)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration walks through."""
        self.epoch = epoch

    def order(self, epoch: int) -> Tensor:
        """The images of an epoch, in order: (N,) int64."""
        # -1 is no position: no image has the key of the order
        seed = int(keys(self.seed, epoch, torch.tensor([-1])))
        return torch.randperm(self.size, generator=torch.Generator().manual_seed(seed))

    def __iter__(self) -> Iterator[Rows]:
        """This process's rows of each global batch."""
        epoch = self.epoch if self.shuffle else 0
        order = self.order(epoch) if self.shuffle else torch.arange(self.size)
        first = self.start[1] if self.epoch == self.start[0] else 0
        for batch in range(first, len(self)):
            position = batch * self.global_batch + self._places
            yield Rows(order[position // self.repeats], keys(self.seed, epoch, position))

    @property
    def _places(self) -> Tensor:
        """Rows of a global batch that are this process's: those that follow each other, or, where
        they may be of one image, each with those of all others between.
        """
        if self.repeats > 1:
            return torch.arange(self.rank, self.global_batch, self.global_batch // self.batch_size)
        return self.rank * self.batch_size + torch.arange(self.batch_size)


class OrderedRows(Sampler[Rows]):
    """Every image exactly once, in order; of several processes each takes its share, and none is
    padded.

    Args:
        size: images in the data set.
        batch_size: images per batch and process; the last batch may be smaller.
        seed: decides the keys, which are the same in every epoch.
        rank: this process's place among `world_size`.
        world_size: number of processes.
        limit: take only so many, evenly spread.
        among: (M,) int64, take only of these images.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        limit: int | None = None,
        among: Tensor | None = None,
    ):
        images = torch.arange(size) if among is None else among
        count = len(images) if limit is None else min(limit, len(images))
        self.index = images[torch.arange(count) * len(images) // max(1, count)][rank::world_size]
        self.batch_size, self.seed = batch_size, seed

    def __len__(self) -> int:
        return -(-len(self.index) // self.batch_size)

    def __iter__(self) -> Iterator[Rows]:
        for index in self.index.split(self.batch_size):
            # -1 is no epoch: clean images share no key with training
            yield Rows(index, keys(self.seed, -1, index))
