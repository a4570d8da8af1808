"""How batches come from the processes that read data: through shared memory, or through a pipe where that has no room.

Containers have 64 MB of shared memory unless they are told otherwise (`docker run --shm-size=8g`). torch writes into it in a
thread that nobody listens to: without room the batch is gone, and whoever waits for it waits for ever.
"""

import tempfile
import warnings
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from mim.batch import Batch


class _Piped:
    """A batch that is copied through a pipe: half a second for a gigabyte."""

    def __init__(self, batch: Batch):
        self.batch = batch

    def __reduce__(self) -> Any:
        return _out_of_the_pipe, tuple(column.numpy() for column in self.batch)


def _out_of_the_pipe(*columns: NDArray[Any]) -> Batch:
    warnings.warn(
        "shared memory (/dev/shm) has no room for a batch, which now comes through a pipe; more room is faster: docker run "
        "--shm-size=8g, or fewer batches in it: data.num_workers",
        stacklevel=1,  # one place, so that it is said once
    )
    return Batch(*(torch.from_numpy(column) for column in columns))


def hand_over(batch: Any) -> Any:
    """What a worker sends, and the main process receives as the same batch."""
    if get_worker_info() is None or not isinstance(batch, Batch):
        return batch
    try:
        for column in batch:
            column.share_memory_()
    except RuntimeError:  # no room, or too many open files
        return _Piped(batch)
    return batch


def shared_flags(size: int) -> Tensor:
    """Zeros (size,) bool that all processes started from here on see alike."""
    flags = torch.zeros(size, dtype=torch.bool)
    try:
        return flags.share_memory_()
    except RuntimeError:
        with tempfile.NamedTemporaryFile() as file:  # stays as long as it is mapped
            file.write(bytes(max(1, size)))
            file.flush()
            return torch.from_file(file.name, shared=True, size=size, dtype=torch.bool)
