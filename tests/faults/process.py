"""Trainings in processes of their own, forked from one that has imported everything: what takes
seconds is done once.
"""

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context, set_start_method
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch.distributed.run as torchrun
from hydra.core.global_hydra import GlobalHydra
from pytorch_lightning.strategies.launchers import subprocess_script
from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

from mim.command import train as train_command
from mim.launch.entry import launch

ROOT = Path(__file__).parents[2]
SERVER = get_context("forkserver")
SERVER.set_forkserver_preload([__name__])


def python() -> None:
    """`python train.py`, with the command line as it is now."""
    launch(train_command.train, ROOT / "configs", "train")


def start(
    arguments: list[str],
    log: Path,
    fault: Callable[[], None] | None = None,
    program: Callable[[], Any] = python,
) -> BaseProcess:
    """Begin `python train.py <arguments>`, or another program, with something broken in it; what it
    says goes to a file.
    """
    process = SERVER.Process(target=run, args=(arguments, str(log), fault, program))
    process.start()
    return process


def torchrun_two(restarts: int) -> None:
    """`torchrun` with the command line as it is now, on two processes."""
    torchrun.main(["--standalone", "--nproc-per-node=2", f"--max-restarts={restarts}", *sys.argv])


def run(
    arguments: list[str], log: str, fault: Callable[[], None] | None, program: Callable[[], Any]
) -> None:
    """In a process that was forked: be one of its own, that says what it says to a file."""
    os.setsid()
    gc.freeze()  # what was imported stays: whoever collects need not look at it
    set_start_method("fork", force=True)  # of data workers, as in a program of its own
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["train.py", *arguments]
    subprocess_script.subprocess = SimpleNamespace(Popen=_Forked)  # type: ignore[attr-defined]
    subprocess_handler.Popen = _Forked  # type: ignore[misc]
    with contextlib.ExitStack() as said:
        said.enter_context(
            contextlib.redirect_stdout(said.enter_context(os.fdopen(1, "w", closefd=False)))
        )
        said.enter_context(
            contextlib.redirect_stderr(said.enter_context(os.fdopen(2, "w", closefd=False)))
        )
        if fault:
            fault()
        program()


class _Forked(subprocess.Popen):
    """`python ... train.py ...` as Lightning and torchrun begin it for each rank, without importing
    everything again.
    """

    def __init__(
        self, args: Sequence[str], env: dict[str, str], start_new_session: bool = False, **rest: Any
    ):
        self._begin = (args, env, start_new_session)
        super().__init__(args, env=env, start_new_session=start_new_session, **rest)

    def _execute_child(self, *_: Any) -> None:
        sys.stdout.flush()
        self.pid = os.fork()
        self._child_created = True
        if self.pid == 0:
            os._exit(self._rank())

    def _rank(self) -> int:
        command, environment, alone = self._begin
        if alone:
            os.setsid()
        os.closerange(3, 4096)
        os.environ.clear()
        os.environ.update(environment)
        GlobalHydra.instance().clear()
        sys.argv = list(
            command[next(i for i, word in enumerate(command) if word.endswith("train.py")) :]
        )
        try:
            python()
        except SystemExit as stop:
            sys.stdout.flush()
            sys.stderr.flush()
            return int(stop.code or 0)
        return 0
