"""Run the jobs of a sweep, each in a process of its own: nothing of one can reach another."""

import fcntl
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from mim.launch.errors import Interrupted
from mim.launch.own_folder import check_own_folder
from mim.launch.processes import has_gpu
from mim.launch.signals import listener
from mim.sweep.job import OUTPUT, read_job, write_record
from mim.sweep.process import Begin, Process, begin_new


class Task(NamedTuple):
    """A job that is to be run.

    Attributes:
        folder: where it runs.
        command: what starts it.
        overrides: what is written down about it.
        label: what tells it from the others, for the screen.
        devices: GPUs that it takes: 0 on a CPU, -1 for all that there are.
    """

    folder: Path
    command: list[str]
    overrides: list[str]
    label: str
    devices: int


class _Running(NamedTuple):
    task: Task
    process: Process
    gpus: list[str]
    started: float


def run_all(
    tasks: Sequence[Task],
    parallel: int,
    gpus: Sequence[str],
    metrics: Sequence[str],
    begin: Begin = begin_new,
) -> None:
    """Run tasks in their order, at most `parallel` at a time, each on the GPUs that are least
    taken.

    A task's output goes to `output.log` in its folder, which stays locked for as long as any of its
    processes lives: a task that another sweep is running is left to it.

    Args:
        tasks: what to run.
        parallel: how many at a time.
        gpus: names of the GPUs to hand out, as CUDA_VISIBLE_DEVICES has them.
        metrics: numbers to show when a job ends.
        begin: how the process of a job is begun.

    Raises:
        Interrupted: a signal came; it was passed on, and all tasks have stopped.
    """
    waiting, running = list(tasks), list[_Running]()
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                with _signals_wait():  # a job that has begun is one that is told
                    begun = _begin(waiting.pop(0), _least_taken(gpus, running), begin)
                    running += [begun] if begun else []
            running = [job for job in running if not _ended(job, metrics)]
            time.sleep(0.1)
    except Interrupted:
        for job in running:
            # only its first process: that tells the others
            job.process.send_signal(listener.received)
        while running:
            running = [job for job in running if not _ended(job, metrics)]
            time.sleep(0.1)
        raise
    finally:
        for job in running:  # a second Ctrl-C
            with suppress(ProcessLookupError):
                os.killpg(job.process.pid, signal.SIGKILL)


def _least_taken(gpus: Sequence[str], running: Sequence[_Running]) -> list[str]:
    """The GPUs, those with the fewest jobs first."""
    jobs = Counter(gpu for job in running for gpu in job.gpus)
    return sorted(gpus, key=lambda gpu: jobs[gpu])


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Raise what comes meanwhile at the end."""
    before, listener.patient = listener.received, True
    try:
        yield
    finally:
        listener.patient = False
    if listener.received != before:
        raise Interrupted(signal.Signals(listener.received).name)


def _begin(task: Task, gpus: Sequence[str], begin: Begin) -> _Running | None:
    """Start a task, unless somebody else is running it."""
    task.folder.mkdir(parents=True, exist_ok=True)
    with (check_own_folder(task.folder) / OUTPUT).open("a") as log:
        if not _locked(log):
            _say(task, "is being run by another sweep")
            return None
        (task.folder / "results.json").unlink(missing_ok=True)  # of an earlier attempt
        write_record(task.folder, overrides=task.overrides, exit_code=None)
        mine = list(gpus if task.devices < 0 else gpus[: task.devices])
        environment = {"MIM_REQUEUE": "0"} | (
            {"CUDA_VISIBLE_DEVICES": ",".join(mine)} if mine else {}
        )
        process = begin(task.command, log, environment)
    _say(task, f"begins on GPU {','.join(mine)}" if mine else "begins")
    return _Running(task, process, mine, time.monotonic())


def _locked(log: IO[str]) -> bool:
    """Lock a file; the lock goes over to the process that inherits it."""
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ended(running: _Running, metrics: Sequence[str]) -> bool:
    code = running.process.poll()
    if code is None:
        return False
    with suppress(ProcessLookupError):  # what a killed job leaves of its ranks and workers
        os.killpg(running.process.pid, signal.SIGKILL)
    write_record(running.task.folder, exit_code=code, seconds=time.monotonic() - running.started)
    job = read_job(running.task.folder, list(metrics))
    numbers = [
        f"{name} {value:.4f}"
        for name, value in zip(metrics, job.metrics, strict=True)
        if value is not None
    ]
    _say(
        running.task,
        "  ".join(
            [
                job.status,
                *numbers,
                f"{job.seconds:.0f} s",
                *([job.error] if code == 1 and job.error else []),
            ]
        ),
    )
    return True


def _say(task: Task, what: str) -> None:
    print(f"{task.folder.name:>4}  {task.label}  {what}", flush=True)


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    if not has_gpu():
        return []
    import torch

    return list(map(str, range(torch.cuda.device_count())))
