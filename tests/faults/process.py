"""Trainings in processes of their own, forked from one that has imported everything: what takes seconds is done once."""

import contextlib
import gc
import os
import sys
from collections.abc import Callable
from multiprocessing import get_context, set_start_method
from multiprocessing.process import BaseProcess
from pathlib import Path

import train as train_command
from mim.launch.entry import launch

ROOT = Path(__file__).parents[2]
SERVER = get_context("forkserver")
SERVER.set_forkserver_preload([__name__])


def start(arguments: list[str], log: Path, fault: Callable[[], None] | None = None) -> BaseProcess:
    """Begin `python train.py <arguments>`, with something broken in it; what it says goes to a file."""
    process = SERVER.Process(target=_run, args=(arguments, str(log), fault))
    process.start()
    return process


def _run(arguments: list[str], log: str, fault: Callable[[], None] | None) -> None:
    os.setsid()
    gc.freeze()  # what was imported stays: whoever collects need not look at it
    set_start_method("fork", force=True)  # of data workers, as in a program of its own
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["train.py", *arguments]
    with contextlib.ExitStack() as said:
        said.enter_context(contextlib.redirect_stdout(said.enter_context(os.fdopen(1, "w", closefd=False))))
        said.enter_context(contextlib.redirect_stderr(said.enter_context(os.fdopen(2, "w", closefd=False))))
        if fault:
            fault()
        launch(train_command.train, ROOT / "configs", "train")
