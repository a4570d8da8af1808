"""Commands as recipes: the settings that decide what comes out, apart from those that say how and
where it is run.
"""

import re
import shlex
from collections.abc import Iterable, Sequence

_HOW = re.compile(
    r"""(?x)^(
        hydra[./].* | sweep([.].*)? | resume | seed | name | compile
        | trainer | trainer[.](accelerator|precision|devices|num_nodes|accumulate_grad_batches
                               |strategy|plugins|max_time|log_every_n_steps|enable_\w+).*
        | accelerator | precision | cache
        | logger([.@].*)? | paths[.].* | watch_every_n_epochs
        | callback[.](announce|checkpoint|epoch_end|finite|interruption|lost_rank|online_probe
                      |progress|prune|reconstructions|throughput)([.].*)?
        | data[.](root|num_workers|batch_size)
    )$"""
)
_SHARED_OUT = re.compile(
    r"^(trainer|trainer[.](devices|num_nodes|accumulate_grad_batches)|data[.]batch_size)$"
)


def settings(overrides: Iterable[str]) -> dict[str, str]:
    """Overrides as key and value; the last of a key counts, and `+` is no part of it."""
    pairs = (override.lstrip("+").partition("=") for override in overrides)
    return {key: value for key, _, value in pairs}


def recipe(overrides: Iterable[str], shared_out: bool) -> dict[str, str]:
    """The settings that decide what is learned or judged.

    Left out are seed, devices, loggers, paths and what watches. `callback=` stays: a list of
    callbacks may leave out what refreshes attention maps.

    Args:
        overrides: of a command.
        shared_out: whether the images of a step are shared out to processes and accumulated batches
            (`images_per_step`); where they are not, the number of processes, accumulated batches
            and `data.batch_size` decide how many there are.
    """
    given = settings(overrides)
    return {
        key: value
        for key, value in given.items()
        if not _HOW.match(key) or (not shared_out and _SHARED_OUT.match(key))
    }


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """What is other in one recipe than in another, in words; empty where they are the same."""
    said = [
        f"{key}={found[key]}, not {wanted[key]}"
        for key in wanted
        if key in found and wanted[key] != found[key]
    ]
    said += [f"no {key}={value}" for key, value in wanted.items() if key not in found]
    return said + [f"{key}={value}" for key, value in found.items() if key not in wanted]


def merged(command: str, more: Sequence[str]) -> str:
    """A command with more settings; one of a key that it has already takes the place of it."""
    program, *given = command.split(" ")
    whole = [*given, *more]
    new = {override[1:].partition("=")[0] for override in whole if override.startswith("+")}
    said = (f"{'+' * (key in new)}{key}={value}" for key, value in settings(whole).items())
    return " ".join([program, *said])


def written(program: str, overrides: Iterable[str]) -> str:
    """A command as it is typed."""
    return " ".join(["python", program, *map(_quoted, overrides)])


def _quoted(override: str) -> str:
    return override if re.fullmatch(r"[\w@%+=:,./\[\]{}<>~-]*", override) else shlex.quote(override)
