"""Say what went wrong in one line: what was given, what is allowed, how to fix it."""

import os
import sys
import traceback
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from mim.installed import as_typed
from mim.launch.disk import said_of_disk
from mim.launch.hydra_errors import said_by_hydra
from mim.plain import printable

_WHY = "why: "
_EXPECTED = (ValueError, OSError, HydraException, OmegaConfBaseException)


class Interrupted(BaseException):
    """Something asked the run to stop; everything is saved.

    Like KeyboardInterrupt no Exception: libraries catch those, and raise them again with words of
    their own.

    Args:
        cause: which signal, or which limit.
        how: how to go on.
        asked_for: whether it stopped where it was meant to, and all is well.
    """

    def __init__(
        self,
        cause: str,
        how: str = "nothing was begun, give the same command again",
        asked_for: bool = False,
    ):
        super().__init__(f"stopped by {cause}; {how}")
        self.cause = cause
        self.exit_code = 0 if asked_for else 130 if cause == "SIGINT" else 85


class Pruned(Exception):
    """A job of a sweep is not worth going on with."""


class NotFinite(Exception):
    """The loss stopped being a number."""


def root_cause(error: BaseException) -> BaseException:
    """The error under Hydra's wrapping."""
    while isinstance(error, HydraException) and error.__cause__ is not None:
        error = error.__cause__
    return error


def one_line(error: BaseException, configs: Path, config_name: str) -> str:
    """The message of an error, without a traceback."""
    known = said_by_hydra(error, configs, config_name)
    error = root_cause(error)
    return as_typed(known or _explained(error) or short(error))


def explain(error: BaseException, why: str) -> None:
    """Say what an error comes from, where its own words do not: this line is printed instead."""
    error.add_note(_WHY + why)


def _explained(error: BaseException) -> str | None:
    notes = [note for note in vars(error).get("__notes__", ()) if note.startswith(_WHY)]
    return notes[0].removeprefix(_WHY) if notes else None


def short(error: BaseException) -> str:
    """An error's own words, in one line."""
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is missing; give it on the command line: {error.full_key}=..."
    message = " ".join(str(error).split()) or type(error).__name__
    if _lost_a_data_worker(error):
        return (
            f"a process that reads data died ({message.partition('. ')[0]}), often for want of "
            "memory: lower data.num_workers or "
            "data.batch_size, and go on with resume=, from the last checkpoint"
        )
    # it says so itself, of trainer.*
    settings_of_lightning = type(error).__name__ == "MisconfigurationException"
    if settings_of_lightning or isinstance(error, (*_EXPECTED, Interrupted, NotFinite)):
        return message
    return f"{type(error).__name__}: {message} (HYDRA_FULL_ERROR=1 shows where)"


def _lost_a_data_worker(error: BaseException) -> bool:
    """Whether torch says so, or lost its connection in the middle of a batch."""
    handing_over = any(
        Path(frame.filename).match("torch/multiprocessing/*.py")
        for frame in traceback.extract_tb(error.__traceback__)
    )
    return str(error).startswith("DataLoader worker") or (
        isinstance(error, OSError | EOFError) and handing_over
    )


def report(error: BaseException, configs: Path, config_name: str, run: Path | None = None) -> None:
    """Print the error on standard error: one line, or the whole traceback where MIM_TRACEBACK asks
    for it.

    Args:
        error: what stopped the command.
        configs: folder of the config tree.
        config_name: `train` or `eval`.
        run: the command's folder; null where none could be made.
    """
    if why := said_of_disk(root_cause(error), run):
        explain(root_cause(error), why)
    if os.environ.get("MIM_TRACEBACK", "0") == "1":
        traceback.print_exception(error)
    else:
        print(
            f"error: {printable(one_line(error, configs, config_name), 10_000)}",
            file=sys.stderr,
            flush=True,
        )
