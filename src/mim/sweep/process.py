"""Process of a job: a new Python, or a fork of one that has imported everything, so that a sweep
pays for imports once.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import reduction
from multiprocessing.process import BaseProcess
from typing import IO, Protocol

from mim.launch.processes import has_gpu_driver

IMPORTED = "mim.sweep.imported"


class Process(Protocol):
    """Process of a job, which leads a session of its own."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Exit code, negative after a signal; null while it runs."""

    def send_signal(self, sig: int) -> None:
        """Tell it, unless it has ended."""


Begin = Callable[[Sequence[str], IO[str], Mapping[str, str]], Process]
"""Command, file for its output, environment -> its process."""


def how_to_begin(share: bool | None) -> Begin:
    """Way to begin jobs.

    Args:
        share: fork jobs from a process that has imported what they need; null where that is safe:
            on Linux, without the driver of a GPU, which does not survive a fork once it is in use.

    Raises:
        ValueError: where jobs cannot be forked.
    """
    can = sys.platform == "linux"
    if share and not can:
        raise ValueError(
            f"sweep.share_imports=true needs Linux, and this is {sys.platform}; leave it out"
        )
    return begin_forked if share or (share is None and can and not has_gpu_driver()) else begin_new


def begin_new(command: Sequence[str], log: IO[str], environment: Mapping[str, str]) -> Process:
    """Begin a job as a new process of Python, in a session of its own."""
    return subprocess.Popen(
        command,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ | environment,
        start_new_session=True,
    )


def begin_forked(command: Sequence[str], log: IO[str], environment: Mapping[str, str]) -> Process:
    """Begin a fork. The process that is forked begins with the first job; it imports and does
    nothing else.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([IMPORTED])
    method = multiprocessing.get_start_method()
    job = server.Process(target=_Job(command[1:], log.fileno(), dict(environment), method))
    job.start()
    return _Forked(job)


class _Forked:
    """Process of `multiprocessing`, with the words of `subprocess`."""

    def __init__(self, process: BaseProcess):
        self.process = process
        self.pid = process.pid or 0

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)


class Detachable(Protocol):
    """Descriptor on its way to another process (`multiprocessing.reduction.DupFd`)."""

    def detach(self) -> int:
        """The descriptor, once it is there."""


class _Job:
    """What a fork does: be as a new Python that was started by a command.

    Args:
        arguments: of Python: a script, or -m and a module, and what follows.
        log: descriptor of the file for its output, whose lock goes over to it.
        environment: what is added to it.
        method: by which it starts processes of its own.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: int | Detachable,
        environment: dict[str, str],
        method: str,
    ):
        self.arguments, self.log, self.environment, self.method = (
            list(arguments),
            log,
            environment,
            method,
        )

    def __getstate__(self) -> dict[str, object]:
        """With a copy of the descriptor, once the fork is begun."""
        assert isinstance(self.log, int)
        return self.__dict__ | {"log": reduction.DupFd(self.log)}

    def __call__(self) -> None:
        """Run the command."""
        os.setsid()
        assert not isinstance(self.log, int)
        log = self.log.detach()
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.close(log)
        os.environ.update(self.environment)
        multiprocessing.set_start_method(self.method, force=True)
        if "numpy" in sys.modules:  # Python's own random numbers are seeded anew by each fork
            sys.modules["numpy"].random.seed()
        if self.arguments[0] == "-m":
            sys.argv = self.arguments[1:]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = self.arguments
            runpy.run_path(sys.argv[0], run_name="__main__")
