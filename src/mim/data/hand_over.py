"""How batches come from the processes that read data: through shared memory, or through a pipe
where that has no room.

Containers have 64 MB of shared memory unless they are told otherwise (`docker run --shm-size=8g`).
torch writes into it in a thread that nobody listens to: without room the batch is gone, and whoever
waits for it waits for ever.
"""

import tempfile
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from mim.batch import Batch, View


class _Sent:
    """A batch on its way: images through shared memory where that has room, and through the pipe
    where it has none.

    All else is small and goes through the pipe: each tensor in shared memory is an open file, and
    several views have many.
    """

    def __init__(self, batch: Batch, shared: bool):
        self.batch, self.shared = batch, shared

    def __reduce__(self) -> tuple[object, ...]:
        batch = self.batch
        images = [view.image if self.shared else view.image.numpy() for view in batch.views]
        where = [(view.box.numpy(), view.flip.numpy()) for view in batch.views]
        return _received, (
            images,
            where,
            batch.label.numpy(),
            batch.index.numpy(),
            batch.key.numpy(),
        )


Array = NDArray[np.generic]


def _received(
    images: list[Tensor | Array],
    where: list[tuple[Array, Array]],
    label: Array,
    index: Array,
    key: Array,
) -> Batch:
    """The batch that was sent; through a pipe it takes half a second for a gigabyte."""
    if not isinstance(images[0], Tensor):
        warnings.warn(
            "shared memory (/dev/shm) has no room for a batch, which now comes through a pipe; "
            "more room is faster: docker "
            "run --shm-size=8g, or fewer batches in it: data.num_workers",
            stacklevel=1,  # one place, so that it is said once
        )
    views = tuple(
        View(torch.as_tensor(image), torch.from_numpy(box), torch.from_numpy(flip))
        for image, (box, flip) in zip(images, where, strict=True)
    )
    return Batch(views, torch.from_numpy(label), torch.from_numpy(index), torch.from_numpy(key))


def hand_over(batch: object) -> object:
    """What a worker sends, and the main process receives as the same batch."""
    if get_worker_info() is None or not isinstance(batch, Batch):
        return batch
    try:
        for view in batch.views:
            view.image.share_memory_()
    except RuntimeError:  # no room, or too many open files
        return _Sent(batch, shared=False)
    return _Sent(batch, shared=True)


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
