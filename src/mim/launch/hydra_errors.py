"""What Hydra and OmegaConf say of a command line, in one line that names what there is to choose
from.
"""

import re
import sys
import traceback
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from mim.launch.check import nearest
from mim.launch.choices import belongs_elsewhere, chosen, composed, files_of
from mim.launch.nearest_key import nearest_key, settings_named
from mim.moved import moved_choice
from mim.plain import settings_of

SEVERAL = ("callback", "logger", "pool")
"""Groups of which several are chosen."""


def said_by_hydra(error: BaseException, configs: Path, config_name: str) -> str | None:
    """A line about an error of theirs, or none where it is no such error or its own words will do.

    Args:
        error: as it was raised, in Hydra's wrapping.
        configs: folder of the config tree.
        config_name: `train` or `eval`.
    """
    if isinstance(
        error, MissingConfigException | ConfigCompositionException | OmegaConfBaseException
    ):
        elsewhere = belongs_elsewhere(sys.argv[1:], configs, config_name)
        if elsewhere:
            return elsewhere
    if isinstance(error, MissingConfigException):
        return _unknown_choice(str(error), configs)
    if isinstance(error, TypeError) and _while_composing(error):
        return "a choice is a name, as in masker=block, and what is chosen here is none"
    if isinstance(error, InterpolationKeyError):
        return _nothing_chosen(error, configs)
    if isinstance(error, OverrideParseException):
        return _unreadable(" ".join(str(error).split()), configs, config_name)
    if isinstance(error, ConfigCompositionException):
        return _bad_override(error, configs, config_name)
    return _no_name(error, configs)


def _while_composing(error: BaseException) -> bool:
    """Whether Hydra stumbled over a list of choices, before any of our code was reached."""
    return any(
        Path(frame.filename).name == "defaults_list.py"
        for frame in traceback.extract_tb(error.__traceback__)
    )


def _unknown_choice(message: str, configs: Path) -> str:
    """Hydra says "Could not find 'masker/foo' ... Available options in 'masker': ..." over several
    lines, or does not list them.
    """
    wanted = re.search(
        r"Could not find '([^']+)'|'([^']+)' not found|Could not load '?([^'\n]+)'?", message
    )
    name = next((g for g in wanted.groups() if g), "?") if wanted else "?"
    given = (re.split("[@=]", argument) for argument in sys.argv[1:] if "=" in argument)
    split = next(
        ((key, value) for key, *_, value in given if f"{key}/{value}" == name),
        name.rpartition("/")[::2],
    )
    group, choice = split
    if (now := moved_choice(f"{group}={choice}")) != f"{group}={choice}":
        return f"{group}={choice} is {now} now"
    options = re.findall(r"^\t(\S+)$", message, flags=re.MULTILINE) or files_of(configs, group)
    if group == "model/decoder" and f"encoder={choice}" in sys.argv:
        return (
            f"encoder={choice} has no decoder of its name; say which, model/decoder=...; "
            f"allowed: {', '.join(sorted(options))}"
        )
    of_one_folder = [
        option for option in options if option.startswith(choice.partition("/")[0] + "/")
    ]
    return f"{group}={choice} is not a choice; {nearest(choice, of_one_folder or options)}"


def _unreadable(message: str, configs: Path, config_name: str) -> str:
    """An argument that Hydra cannot read: a word without a value, a bracket or a quote that is not
    closed.
    """
    parts = re.match(r"Error parsing override '(.*?)' (.*?)( See https.*)?$", message)
    if not parts:
        names = (argument.partition("=")[0].lstrip("+~") for argument in sys.argv[1:])
        strange = next((name for name in names if not name.isascii()), None)
        return (
            f"'{strange}' is not a setting; {nearest_key(strange, configs, config_name)}"
            if strange
            else message
        )
    given, why, _ = parts.groups()
    if "=" in given or given.startswith("~"):
        return (
            f"{given} cannot be read: {why}; put what is special into quotes, e.g. \"name='a, b'\""
        )
    if files_of(configs, given):
        return (
            f"{given} needs a choice: {given}=...; allowed: {', '.join(files_of(configs, given))}"
        )
    if Path(given).exists():
        use = "data=image_folder data.root" if config_name == "train" else "checkpoint"
        return f"{given} is no setting; settings are key=value, e.g. {use}={given}"
    return f"{given} is no setting without a value: {given}=..., as in epochs=100 or masker=block"


def _bad_override(error: BaseException, configs: Path, config_name: str) -> str:
    """An override that names no key: suggest the nearest key or group."""
    message = " ".join(str(error).split())
    merged = re.fullmatch(r"Error merging override (\S+?)=(.*)", message)
    if merged:
        given, value = merged.groups()
        return (
            f"{given}={value} cannot take the place of what is there; set its keys, as "
            f"{given}.<key>=..., or choose another"
        )
    if message.startswith(("Multiple values for ", "Error resolving interpolation ")):
        for choice in (a[1:] for a in sys.argv[1:] if re.match(r"\+[\w/@.]+=\w", a)):
            if f"'override {choice.replace('=', ': ')}'" in message:
                return f"{choice.partition('=')[0]} has a choice already: {choice}, without the +"
        lists = (argument for argument in sys.argv[1:] if re.match(r"[\w/@.]+=\[", argument))
        for key, _, value in (argument.partition("=") for argument in lists):
            if key not in SEVERAL and files_of(configs, key):
                return (
                    f"{key}={value}: one {key} is chosen; -m {key}={value.strip('[]')} runs one "
                    "job for each"
                )
    if message.startswith("Could not override ''"):
        return f"{next(a for a in sys.argv[1:] if a.startswith('='))} names no setting before the ="
    there = re.match(r"Could not append to config. An item is already at '([^']+)'", message)
    if there:
        return f"'{there[1]}' is set already; change it without the +: {there[1]}=..."
    absent = re.match(r"Could not delete from config. '([^']+)' does not exist", message)
    if absent:
        near = nearest_key(absent[1], configs, config_name)
        return f"~{absent[1]} leaves out what is not there; {near}"
    wanted = re.search(r"Could not override '([^']+)'", message)
    if not wanted:
        return message
    given = wanted.group(1)
    if (configs / given).is_dir() and files_of(configs, given):
        elsewhere = _no_place(given, configs, config_name)
        if elsewhere:
            return elsewhere
    return f"'{given}' is not a setting; {nearest_key(given, configs, config_name)}"


def _no_place(group: str, configs: Path, config_name: str) -> str | None:
    """A line about a group, as `masker/score` or `target`, that what is chosen has elsewhere, or
    several times, or not at all.
    """
    node = composed(
        configs,
        config_name,
        [c for c in chosen(configs, sys.argv[1:]) if not c.startswith(f"{group}=")],
    )
    top, _, name = group.rpartition("/")
    raw = settings_of(node) if node is not None else {}
    found = settings_named(raw.get(top) if top else raw, name, top)
    places = [place for place, value in found if isinstance(value, dict)]
    if len(places) == 1:
        return f"{group}= has its place further down: {group}@{places[0]}=..."
    if places:
        return f"{group}= has several places here; say which: " + " or ".join(
            f"{group}@{p}=..." for p in places
        )
    return (
        f"{group}= has no place here: what is chosen as {top} holds no {name}; choose another {top}"
        if top
        else None
    )


def _nothing_chosen(error: InterpolationKeyError, configs: Path) -> str:
    """A line about a group or a setting that was left out, as by `pool=[]` or `~epochs`, or that
    never was, though something is made of it.
    """
    key = str(error).partition("'")[2].partition("'")[0]
    group = key.partition(".")[0]
    options = files_of(configs, group)
    if options:
        return (
            f"{error.full_key} needs a {group}, and none is chosen; allowed: {', '.join(options)}"
        )
    return f"{error.full_key or 'a setting'} is made of {key}, which is not set"


def _no_name(error: BaseException, configs: Path) -> str | None:
    """A line about `masker=null` or `masker=3` on the command line: Hydra takes null for a group in
    its files, but not there.
    """
    if not str(error).startswith("Config group override must be"):
        return None
    for argument in sys.argv[1:]:
        group, _, choice = argument.partition("=")
        options = files_of(configs, group.lstrip("+").partition("@")[0])
        if options and not isinstance(_read(argument), str | list):
            leave_out = f"; '~{group}' leaves it out, where that can be" if choice == "null" else ""
            return f"{group}={choice} is not a choice; allowed: {', '.join(options)}{leave_out}"
    return None


def _read(argument: str) -> object:
    """The value in an argument, as Hydra reads it; an empty word where it cannot."""
    try:
        return OverridesParser.create().parse_override(argument).value()
    except HydraException:
        return ""
