"""Say what went wrong in one line: what was given, what is allowed, how to fix it."""

import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue, OmegaConfBaseException

from mim.launch.check import nearest
from mim.launch.choices import belongs_elsewhere, chosen, composed, files_of

_WHY = "why: "
_EXPECTED = (ValueError, OSError, HydraException, OmegaConfBaseException)


class Interrupted(BaseException):
    """Something asked the run to stop; everything is saved.

    Like KeyboardInterrupt no Exception: libraries catch those, and raise them again with words of their own.

    Args:
        cause: which signal, or which limit.
        how: how to go on.
    """

    def __init__(self, cause: str, how: str = "nothing was begun, give the same command again"):
        super().__init__(f"stopped by {cause}; {how}")
        self.cause = cause
        self.exit_code = 130 if cause == "SIGINT" else 85


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
    if isinstance(error, MissingConfigException):
        return _unknown_choice(str(error), configs)
    if isinstance(error, ConfigCompositionException | OmegaConfBaseException):
        elsewhere = belongs_elsewhere(chosen(configs, sys.argv[1:]), configs, config_name)
        if elsewhere:
            return elsewhere
    if isinstance(error, ConfigCompositionException | OverrideParseException):
        return _bad_override(error, configs, config_name)
    if isinstance(error, InterpolationKeyError):
        return _nothing_chosen(error, configs) or short(error)
    error = root_cause(error)
    return _null_choice(error, configs) or _explained(error) or short(error)


def explain(error: BaseException, why: str) -> None:
    """Say what an error comes from, where its own words do not: this line is printed instead."""
    error.add_note(_WHY + why)


def _explained(error: BaseException) -> str | None:
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(_WHY)]
    return notes[0].removeprefix(_WHY) if notes else None


def short(error: BaseException) -> str:
    """An error's own words, in one line."""
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is missing; give it on the command line: {error.full_key}=..."
    message = " ".join(str(error).split()) or type(error).__name__
    if _lost_a_data_worker(error):
        return (
            f"a process that reads data died ({message.partition('. ')[0]}), often for want of memory: lower data.num_workers or "
            "data.batch_size, and go on with resume=, from the last checkpoint"
        )
    if isinstance(error, (*_EXPECTED, Interrupted, NotFinite)):
        return message
    return f"{type(error).__name__}: {message} (HYDRA_FULL_ERROR=1 shows where)"


def _lost_a_data_worker(error: BaseException) -> bool:
    """Whether torch says so, or lost its connection in the middle of a batch."""
    handing_over = any(
        Path(frame.filename).match("torch/multiprocessing/*.py") for frame in traceback.extract_tb(error.__traceback__)
    )
    return str(error).startswith("DataLoader worker") or (isinstance(error, OSError | EOFError) and handing_over)


def report(error: BaseException, configs: Path, config_name: str) -> None:
    """Print the error on standard error: one line, or the whole traceback where MIM_TRACEBACK asks for it."""
    if os.environ.get("MIM_TRACEBACK", "0") == "1":
        traceback.print_exception(error)
    else:
        print(f"error: {one_line(error, configs, config_name)}", file=sys.stderr, flush=True)


def _unknown_choice(message: str, configs: Path) -> str:
    """Hydra says "Could not find 'masker/foo' ... Available options in 'masker': ..." over several lines, or does not list them."""
    wanted = re.search(r"Could not find '([^']+)'|'([^']+)' not found|Could not load '?([^'\n]+)'?", message)
    name = next((g for g in wanted.groups() if g), "?") if wanted else "?"
    given = (re.split("[@=]", argument) for argument in sys.argv[1:] if "=" in argument)
    group, choice = next(((key, value) for key, *_, value in given if f"{key}/{value}" == name), name.rsplit("/", 1))
    options = re.findall(r"^\t(\S+)$", message, flags=re.MULTILINE) or files_of(configs, group)
    of_one_folder = [option for option in options if option.startswith(choice.partition("/")[0] + "/")]
    return f"{group}={choice} is not a choice; {nearest(choice, of_one_folder or options)}"


def _bad_override(error: BaseException, configs: Path, config_name: str) -> str:
    """An override that names no key: suggest the nearest key or group."""
    message = " ".join(str(error).split())
    wanted = re.search(r"Could not override '([^']+)'", message)
    if not wanted:
        return message
    given = wanted.group(1)
    return f"'{given}' is not a setting; {_nearest_key(given, configs, config_name)}"


def _nothing_chosen(error: InterpolationKeyError, configs: Path) -> str | None:
    """A line about a group that was left out, as by `pool=[]` or `~masker`, though something is made of it."""
    group = str(error).partition("'")[2].partition("'")[0].partition(".")[0]
    options = files_of(configs, group)
    return f"{error.full_key} needs a {group}, and none is chosen; allowed: {', '.join(options)}" if options else None


def _null_choice(error: BaseException, configs: Path) -> str | None:
    """A line about `masker=null` on the command line: Hydra takes null for a group in its files, but not there."""
    if not str(error).startswith("Config group override must be"):
        return None
    for group in (argument.removesuffix("=null") for argument in sys.argv[1:] if argument.endswith("=null")):
        options = files_of(configs, group.partition("@")[0])
        if options:
            return f"{group}=null is not a choice; allowed: {', '.join(options)}; '~{group}' leaves it out, where that can be"
    return None


def _nearest_key(given: str, configs: Path, config_name: str) -> str:
    """Look for the nearest key at the deepest level that exists, in the config as the choices of the command line make it."""
    node: Any = composed(configs, config_name, chosen(configs, sys.argv[1:])) or composed(configs, config_name)
    parents: list[str] = []
    for part in given.split("."):
        child = OmegaConf.to_container(node, resolve=False)
        if not isinstance(child, dict) or part not in child or not isinstance(child[part], dict):
            keys = [str(key) for key in child] if isinstance(child, dict) else []
            if not parents and "." in given and files_of(configs, part):
                own = f", or change that of the run: +{given}=..." if part == "data" else ""
                return f"choose {part}= with it ({', '.join(files_of(configs, part))}){own}"
            where = f"in {'.'.join(parents)}: " if parents else ""
            return where + nearest(part, keys)
        parents.append(part)
        node = node[part]
    return "it is a whole group: set one of its keys"
