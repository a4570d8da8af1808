"""Hundreds of trainings with one command line: what comes before them is done once, in the process
that they are forked from.
"""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from mim.launch import entry
from mim.launch.quoting import quoted
from mim.launch.resolvers import register_resolvers
from tests.faults.process import ROOT, python, run

_composed: dict[tuple[tuple[str, ...], RunMode], Any] = {}
_load = ConfigLoaderImpl.load_configuration
_check = entry.check_command


def start(arguments: list[str], log: Path, fault: Callable[[], None] | None = None) -> BaseProcess:
    """Begin `python train.py <arguments>`, in the folder of the log, with something broken in it.

    The first one composes the config, checks it and imports what it needs, as a program does; those
    after it have all that.
    """
    key = tuple(quoted(arguments))
    first = (key, RunMode.MULTIRUN) not in _composed
    if first:
        _compose(key)
    process = get_context("fork").Process(target=_run, args=(arguments, log, fault, first))
    process.start()
    if first:
        process.join()
        names = json.loads((log.parent / "modules").read_text())
        for name in names:
            with suppress(ImportError):
                import_module(name)
    return process


def _compose(arguments: tuple[str, ...]) -> None:
    register_resolvers()
    with initialize_config_dir(str(ROOT / "configs"), job_name="train", version_base="1.3"):
        loader: Any = GlobalHydra.instance().config_loader()
        # as Hydra asks for them
        for mode, more in ((RunMode.MULTIRUN, ()), (RunMode.RUN, ("hydra.mode=RUN",))):
            given = (*arguments, *more)
            _composed[given, mode] = _load(
                loader, "train", list(given), mode, validate_sweep_overrides=False
            )


def _run(arguments: list[str], log: Path, fault: Callable[[], None] | None, first: bool) -> None:
    GlobalHydra.instance().clear()
    sys.modules["__main__"].__spec__ = None  # as of train.py: other ranks are started by its path
    ConfigLoaderImpl.load_configuration = _there_already  # type: ignore[method-assign]
    if not first:
        entry.check_command = lambda *_: None
    program = partial(_told, log.parent / "modules") if first else python
    run(arguments, str(log), fault, program)


def _there_already(
    self: Any, config_name: str, overrides: list[str], run_mode: RunMode, *rest: Any, **named: Any
) -> Any:
    """As composed before, for this process alone; what else is asked for, as by other ranks, is
    composed.
    """
    found = _composed.pop((tuple(overrides), run_mode), None)
    if found is None:
        return _load(self, config_name, overrides, run_mode, *rest, **named)
    found.hydra.runtime.cwd = str(Path.cwd())
    return found


def _told(file: Path) -> None:
    """Train, and say what was imported."""
    try:
        python()
    finally:
        file.write_text(json.dumps(sorted(sys.modules)))
