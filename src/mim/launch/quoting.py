"""Arguments of a command line whose values Hydra would not read, quoted for it: paths hold spaces,
commas, brackets and accents.
"""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf

from mim.plain import Settings, printable, settings_of

_MULTIRUN = {"-m", "--multirun"}


def quoted(arguments: Sequence[str]) -> list[str]:
    """The same arguments; where Hydra cannot read a value, or it names what lies on this disk and
    would be read as a list or as several values, it is quoted.
    """
    several = any(argument in _MULTIRUN for argument in arguments)
    return [_quoted(argument, several) for argument in arguments]


def values_of(arguments: Sequence[str]) -> Settings:
    """Values of `key=value`, as Hydra reads them, nested by the dots of the keys.

    Raises:
        ValueError: where an argument is none such.
    """
    values = OmegaConf.create()
    for argument in quoted(arguments):
        found = _parsed(argument)
        # a comma, where nothing takes several values
        if found is not None and found.is_sweep_override():
            key, _, value = argument.partition("=")
            found = _parsed(f"{key}={_text(value)}")
        if found is None or not found.key_or_group or found.type is not OverrideType.CHANGE:
            raise ValueError(
                f"{printable(argument)} is no setting; give key=value, e.g. root=/my/pictures"
            )
        OmegaConf.update(values, found.key_or_group, found.value())
    return settings_of(values)


def _quoted(argument: str, several: bool) -> str:
    key, equals, value = argument.partition("=")
    if not equals or not value or argument.startswith(("-", "~")) or not key.isascii():
        return argument
    if value.startswith("~/"):  # shells leave it to the program
        value = str(Path(value).expanduser())
        argument = f"{key}={value}"
    found = _parsed(argument)
    # a folder may be called 0
    plain = found is not None and isinstance(found.value(), str | int | float | None)
    if found is not None and (several or plain or not _is_there(value)):
        return argument
    for text in (
        (_text(value), _list(value)) if not _is_list(value) or _is_there(value) else (_list(value),)
    ):
        if text is not None and _parsed(f"{key}={text}") is not None:
            return f"{key}={text}"
    return argument


def _parsed(argument: str) -> Override | None:
    """As Hydra reads it, or None where it cannot."""
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def _is_there(value: str) -> bool:
    try:
        return Path(value).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long a name, no such home, a zero byte
        return False


def _is_list(value: str) -> bool:
    return value.startswith("[") and value.endswith("]")


def _text(value: str) -> str:
    r"""A value in Hydra's quotes: in them only `\'` and backslashes before it, or at the end, have
    a meaning of their own.
    """
    parts = value.split("'")
    doubled = [part + "\\" * (len(part) - len(part.rstrip("\\"))) for part in parts]
    return "'" + "\\'".join(doubled) + "'"


def _list(value: str) -> str | None:
    """A list whose parts are quoted where they have to be; None for what is none."""
    if not _is_list(value):
        return None
    parts = (part.strip() for part in value[1:-1].split(","))
    return "[" + ",".join(part if _parsed(f"key={part}") else _text(part) for part in parts) + "]"
