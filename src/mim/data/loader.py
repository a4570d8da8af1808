"""Processes that read data: they leave signals to the one that trains, and none that is dead or
stuck is waited for.
"""

import ctypes
import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, TypeVar, cast

from torch.utils.data import DataLoader, Dataset, get_worker_info
from torch.utils.data._utils.signal_handling import _remove_worker_pids
from torch.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter

from mim.data.hand_over import hand_over

STUCK_AFTER = 120.0  # seconds without a picture
_ASKED_TO_STOP = 5.0  # the same where somebody wants to stop
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_pulse: "ctypes.Array[ctypes.c_long] | None" = (
    None  # of this process, where it is one of a loader's: pictures read by each of them
)


T_co = TypeVar("T_co", covariant=True)


class WorkerLost(ConnectionError):
    """A process that reads data is dead, or does nothing any more."""


class Waiting:
    """What whoever trains wants of a loader while it waits for a batch.

    Attributes:
        stuck_after: seconds in which no process reads a picture, after which a batch is no longer
            waited for.
    """

    def __init__(self) -> None:
        self.stuck_after = STUCK_AFTER

    def asked_to_stop(self) -> bool:
        """Whether somebody wants to stop: then nothing stuck is waited for long."""
        return False

    def lost(self) -> None:
        """The batch will never come; what this raises takes the place of `WorkerLost`."""


class Reads(Protocol[T_co]):
    """Data set that makes whole batches."""

    def __getitem__(self, rows: Any, /) -> T_co: ...


class Loader(DataLoader[T_co]):
    """A `DataLoader` whose processes live until the run has saved.

    Args:
        dataset: makes batches.
        waiting: what to do where a batch does not come.
        settings: of a `DataLoader`, but for `worker_init_fn` and `collate_fn`.
    """

    def __init__(self, dataset: Reads[T_co], waiting: Waiting | None = None, **settings: Any):
        self.waiting = waiting or Waiting()
        self.pulse = multiprocessing.RawArray(ctypes.c_long, max(1, settings.get("num_workers", 0)))
        own = {"worker_init_fn": partial(_begin, self.pulse), "collate_fn": hand_over}
        super().__init__(cast(Dataset[T_co], dataset), **(settings | own))

    def __iter__(self) -> Iterator[T_co]:  # type: ignore[override]
        """The batches as they come.

        Raises:
            WorkerLost: a process is dead, or none has read a picture for too long.
        """
        if not self.num_workers:
            return super().__iter__()
        if self.persistent_workers and self._iterator is not None:
            return self._patiently(self._again(cast(_Batches, self._iterator)))
        return self._patiently(self._begun())

    def _get_iterator(self) -> _BaseDataLoaderIter:
        """torch's way to make an iterator."""
        if not self.num_workers:
            return super()._get_iterator()
        self.check_worker_number_rationality()
        return _Batches(self)

    def _begun(self) -> "_Batches":
        """Begin processes with signals held back from them: one that came before they ignore it
        would kill them.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            with self._named():
                return cast(_Batches, super().__iter__())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _again(self, batches: "_Batches") -> "_Batches":
        """Let the processes begin anew; each has to answer that it does."""
        watch = batches.watched(self.pulse, self.waiting)
        try:
            watch.waits = True
            with self._named(watch):
                return cast(_Batches, super().__iter__())
        finally:
            watch.over.set()

    def _patiently(self, batches: "_Batches") -> Iterator[T_co]:
        watch = batches.watched(self.pulse, self.waiting)
        try:
            while True:
                watch.waits = True
                try:
                    with self._named(watch):
                        batch = next(batches)
                except StopIteration:
                    return
                watch.waits = False
                yield batch
        finally:
            watch.over.set()

    @contextmanager
    def _named(self, watch: "_Watch | None" = None) -> Iterator[None]:
        """Say so where torch says that a process is gone, or lost it in the middle of a batch; what
        one raises is "Caught ...".
        """
        try:
            yield
        except (RuntimeError, OSError, EOFError) as error:
            lost = isinstance(error, OSError | EOFError) and not str(error).startswith("Caught ")
            if not lost and not str(error).startswith("DataLoader worker"):
                raise
            reason = " ".join(str(error).split()).partition(". ")[0] or type(error).__name__
            why = (
                f"died ({reason}), often for want of memory: lower data.num_workers or "
                "data.batch_size"
            )
            if watch is not None and watch.stuck:
                why = (
                    f"has read nothing for {watch.stuck:.0f} s: what it reads from may hang, as a "
                    "disk of a network does"
                )
            self.waiting.lost()
            raise WorkerLost(f"a process that reads data {why}") from error


class _Batches(_MultiProcessingDataLoaderIter):
    """torch's iterator, without torch's handler of SIGCHLD: that raises wherever the program is
    when a process dies, in the middle of a checkpoint or where nobody can hear it.
    """

    def __init__(self, loader: DataLoader[Any]):
        super().__init__(loader)
        _remove_worker_pids(id(self))  # the handler is for those of other loaders
        self._worker_pids_set = False

    def watched(self, pulse: "ctypes.Array[ctypes.c_long]", waiting: Waiting) -> "_Watch":
        """A watch of these processes, which does not keep the iterator alive."""
        # with a GPU another thread reads from the pipe, and torch looks after that
        queue: Any = self._worker_result_queue
        pipe = None if self._pin_memory else queue._writer
        return _Watch(self._workers, pipe, pulse, waiting)


class _Watch(threading.Thread):
    """Ends the processes of a loader where one is dead or all are stuck: whoever waits for their
    batch then hears of it.

    A process that hangs or dies while it hands a batch over makes the asking hang as well, which no
    time limit of torch covers: that ends with the last end of the pipe that could be written to.

    Attributes:
        waits: whether a batch is waited for.
        stuck: seconds without a picture, after which they were ended; 0 where they were not.
        over: set when nothing is waited for any more.
    """

    def __init__(
        self,
        processes: Sequence[BaseProcess],
        pipe: Connection | None,
        pulse: "ctypes.Array[ctypes.c_long]",
        waiting: Waiting,
    ):
        super().__init__(daemon=True, name="watch of data workers")
        self.processes, self.pipe, self.pulse, self.waiting = processes, pipe, pulse, waiting
        self.waits, self.stuck, self.over = False, 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        """Count seconds without a picture; counted, not read off a clock, because a computer may
        sleep meanwhile.
        """
        idle, pulse = 0.0, list(self.pulse)
        while not self.over.wait(1):
            idle = idle + 1 if self.waits and list(self.pulse) == pulse else 0
            pulse = list(self.pulse)
            most = self.waiting.stuck_after
            if idle >= (min(most, _ASKED_TO_STOP) if self.waiting.asked_to_stop() else most):
                self.stuck = idle
            if self.stuck or (self.waits and any(map(_is_dead, self.processes))):
                for process in self.processes:
                    process.kill()
                if self.pipe is not None:
                    self.pipe.close()
                return


def _is_dead(process: BaseProcess) -> bool:
    """Whether a process was killed or failed, asked of the system only once it has ended: torch
    asks, too.
    """
    return bool(wait([process.sentinel], 0) and process.exitcode)


def beat() -> None:
    """Where a process of a loader has read a picture: it is alive."""
    worker = get_worker_info()
    if _pulse is not None and worker is not None:
        _pulse[worker.id] += 1


def _begin(pulse: "ctypes.Array[ctypes.c_long]", worker: int) -> None:
    global _pulse
    _pulse = pulse
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
