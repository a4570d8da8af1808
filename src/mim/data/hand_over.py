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
from mim.data.undecoded import Undecoded


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


class _SentUndecoded:
    """Undecoded pictures on their way: their bytes through shared memory where that has room, all
    else through the pipe.
    """

    def __init__(self, batch: Undecoded, shared: bool):
        self.batch, self.shared = batch, shared

    def __reduce__(self) -> tuple[object, ...]:
        content, *small = self.batch
        sent = content if self.shared else content.numpy()
        return _received_undecoded, (sent, [each.numpy() for each in small])


Array = NDArray[np.generic]


def _received(
    images: list[Tensor | Array],
    where: list[tuple[Array, Array]],
    label: Array,
    index: Array,
    key: Array,
) -> Batch:
    """The batch that was sent; through a pipe it takes half a second for a gigabyte."""
    _say_way(images[0])
    views = tuple(
        View(torch.as_tensor(image), torch.from_numpy(box), torch.from_numpy(flip))
        for image, (box, flip) in zip(images, where, strict=True)
    )
    return Batch(views, torch.from_numpy(label), torch.from_numpy(index), torch.from_numpy(key))


def _received_undecoded(content: Tensor | Array, small: list[Array]) -> Undecoded:
    """The same of undecoded pictures."""
    _say_way(content)
    return Undecoded(torch.as_tensor(content), *map(torch.from_numpy, small))


def _say_way(content: Tensor | Array) -> None:
    """Warn where something large came through a pipe."""
    if not isinstance(content, Tensor):
        warnings.warn(
            "shared memory (/dev/shm) has no room for a batch, which now comes through a pipe; "
            "more room is faster: docker "
            "run --shm-size=8g, or fewer batches in it: data.num_workers",
            stacklevel=1,  # one place, so that it is said once
        )


def hand_over(batch: object) -> object:
    """What a worker sends, and the main process receives as the same batch."""
    if get_worker_info() is None:
        return batch
    if isinstance(batch, Undecoded):
        return _SentUndecoded(batch, _share([batch.content]))
    if isinstance(batch, Batch):
        return _Sent(batch, _share([view.image for view in batch.views]))
    return batch


def _share(tensors: list[Tensor]) -> bool:
    """Move tensors into shared memory; whether all have room there."""
    try:
        for tensor in tensors:
            tensor.share_memory_()
    except RuntimeError:  # no room, or too many open files
        return False
    return True


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
