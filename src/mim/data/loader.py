"""Processes that read data leave signals to the one that trains: who stops a run often signals all of its processes."""

import signal
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from mim.batch import Batch

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Loader(DataLoader[Batch]):
    """A `DataLoader` whose processes live until the run has saved. Takes the same arguments, but for `worker_init_fn`."""

    def __init__(self, dataset: Any, **settings: Any):
        super().__init__(dataset, worker_init_fn=_ignore_signals, **settings)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Begin processes with signals held back from them: one that came before they ignore it would kill them."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ignore_signals(worker: int) -> None:
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
