"""Where one process of many is lost, the others say which, and end: a collective would wait for it
for minutes, or forever.
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import pytorch_lightning as L
import torch.distributed as dist

from mim.launch.errors import Interrupted, Pruned, explain, short
from mim.ranges import NotNegative, Positive
from mim.run.insides import table_of_processes, take_over_children

_LOST = "mim/lost"
_PLANNED = (0, 85, 130)  # exit codes of processes that were not lost


class RankWatchdog(L.Callback):
    """Every process gives a sign of life each second; the first one looks for all of them, and all
    look for the first.

    Args:
        patience: seconds without a sign after which a process is lost.
        grace: seconds that the survivors have to end by themselves.
    """

    def __init__(self, patience: Positive = 30.0, grace: NotNegative = 10.0):
        self.patience, self.grace = patience, grace
        self._watch: _Watch | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Begin to watch, in the place of Lightning's observer, which kills all processes without a
        word.
        """
        if trainer.world_size == 1 or self._watch:
            return
        children = take_over_children(trainer)
        self._watch = _Watch(
            trainer.global_rank, trainer.world_size, children, self.patience, self.grace
        )
        self._watch.start()
        atexit.register(self._watch.end)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Tell the others; where it is another process that broke the connection, say which."""
        if self._watch is None:
            return
        if not _is_broken_connection(exception):
            self._watch.finish(
                None
                if isinstance(exception, Interrupted | KeyboardInterrupt | Pruned)
                else short(exception)
            )
        elif lost := self._watch.find():
            explain(exception, lost)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """The run is complete and everything is written: whoever was lost since is only named."""
        if self._watch is not None:
            self._watch.complete()


class _Watch(threading.Thread):
    def __init__(
        self,
        rank: int,
        world_size: int,
        children: Sequence[subprocess.Popen],
        patience: float,
        grace: float,
    ):
        super().__init__(daemon=True, name="lost-rank")
        self.rank, self.children, self.patience, self.grace = rank, children, patience, grace
        self.others = list(range(1, world_size)) if rank == 0 else [0]
        self.table = table_of_processes()
        self.table.set_timeout(timedelta(seconds=patience))
        self.beat: dict[int, tuple[bytes, int]] = {}
        self.lost = ""
        self.exit_code = 1
        self._over, self._found = threading.Event(), threading.Event()

    def run(self) -> None:
        """Look once a second; if somebody is lost, give this process some seconds to end, then end
        it.
        """
        while not self.lost:
            self.lost = self._look()
            if self._over.wait(1.0):
                return
        self._found.set()
        if not self._over.wait(self.grace):
            if self.exit_code:
                print(f"error: {self.lost}", file=sys.stderr, flush=True)
            os._exit(self.exit_code)

    def find(self) -> str:
        """Who broke the connection; an empty text if all of them still live. Called when it is
        broken: less patience is needed.
        """
        self.patience = 5.0
        self._found.wait(15.0)
        return self.lost

    def end(self) -> None:
        """Stop watching, unless somebody was lost: then the end must not take forever either."""
        if not self.lost:
            self.finish(None)

    def complete(self) -> None:
        """Stop watching as above, where all that this process had to do is done."""
        if self.lost:
            self.exit_code = 0
            if self.rank == 0:  # others cannot tell its end from its loss
                lost = self.lost.partition("; ")[0]
                print(f"{lost}, after everything was written", file=sys.stderr, flush=True)
        self.end()

    def finish(self, failure: str | None) -> None:
        """Stop watching; tell the others if it was a failure."""
        if self._over.is_set():
            return
        self._over.set()
        if failure:
            with suppress(RuntimeError):  # nobody is there to read it
                self._publish(f"rank {self.rank} failed: {failure}")
        if self.is_alive():  # a thread that is within the table when Python ends aborts the process
            self.join(self.patience)

    def _look(self) -> str:
        try:
            self.table.set(f"mim/beat/{self.rank}", str(time.monotonic()))
            if self.table.check([_LOST]):
                return self.table.get(_LOST).decode()
            lost = self._dead_child() or self._silent()
            if lost:
                self._publish(f"{lost}; go on with resume=, from the last checkpoint")
                return self.table.get(_LOST).decode()
            return ""
        except RuntimeError:  # the table is kept by the first process, or by what started it
            return (
                "rank 0 was lost (it does not answer any more); go on with resume=, from the last "
                "checkpoint"
            )

    def _publish(self, lost: str) -> None:
        # the first to know is right: what follows are consequences
        self.table.compare_set(_LOST, "", lost)

    def _dead_child(self) -> str:
        for rank, child in enumerate(self.children, start=self.rank + 1):
            code = child.poll()
            if code is not None and code not in _PLANNED:
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                return f"rank {rank} was lost ({how})"
        return ""

    def _silent(self) -> str:
        """Count looks, one a second; counted, not read off a clock, because all of a computer may
        sleep meanwhile.
        """
        for rank in self.others:
            key = f"mim/beat/{rank}"
            sign = self.table.get(key) if self.table.check([key]) else b""
            before, looks = self.beat.get(rank, (b"", 0))
            looks = looks + 1 if sign == before else 0
            self.beat[rank] = (sign, looks)
            if looks > self.patience:
                return f"rank {rank} was lost (no sign of life for {self.patience:.0f} s)"
        return ""


def _is_broken_connection(error: BaseException) -> bool:
    told = str(error).lower()
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError)
        and any(word in told for word in ("gloo", "nccl", "connection"))
    )
