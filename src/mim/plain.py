"""Plain data out of files that anyone may have written: no code, no references, no surprise in
size.
"""

import json
import math
from pathlib import Path
from typing import Any

import yaml
from omegaconf import Container, OmegaConf
from omegaconf.errors import OmegaConfBaseException

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without its library of C
    from yaml import SafeLoader as _Loader

DEEPEST, MOST, LONGEST = 32, 20_000, 8_192  # nested containers, values, characters of a text
LARGEST_YAML = 2**20  # bytes; a run's config has less than 2**15
LARGEST_JSON = 2**26  # bytes; the results of a judge of a thousand classes have less than 2**20


Settings = dict[str, Any]
"""Settings by name, as a yaml or a JSON file has them: text, numbers, lists, and settings of their
own.
"""


def settings_of(config: Container, resolve: bool = False) -> Settings:
    """Settings of a node of a config; its `${...}` as they are written, or what they refer to."""
    found = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(found, dict)
    return {str(name): value for name, value in found.items()}


def plain(value: object, origin: str, what: str = "config") -> Any:
    """Copy of a value that is made of dictionaries, lists, text, whole and finite numbers, true,
    false and null alone.

    Args:
        value: what was read.
        origin: where from, for messages.
        what: its name in messages; `what.key` is what a dictionary holds.

    Raises:
        ValueError: one line that names the first value that is something else, refers to something
            else (`${...}`), or is too large, too deep or too long.
    """
    return _Copy(origin).of(value, what, 0)


class _Copy:
    """One copy; counts what it copies."""

    def __init__(self, origin: str):
        self.origin, self.count = printable(origin), 0

    def of(self, value: object, path: str, depth: int) -> object:
        self.count += 1
        if depth > DEEPEST or self.count > MOST:
            raise self._refused(
                path, f"is nested deeper than {DEEPEST} or holds more than {MOST:,} values"
            )
        if isinstance(value, dict):
            return {
                self._key(key, path): self.of(each, f"{path}.{key}", depth + 1)
                for key, each in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.of(each, f"{path}[{i}]", depth + 1) for i, each in enumerate(value)]
        if value is None or type(value) in (bool, int, float, str):
            return self._scalar(value, path)
        raise self._refused(
            path,
            f"is a {type(value).__name__}; a config holds text, numbers, lists and dictionaries",
        )

    def _key(self, key: object, path: str) -> object:
        if type(key) not in (str, int):
            raise self._refused(path, f"has a key that is a {type(key).__name__}")
        return self._scalar(key, f"{path}, a key of it,")

    def _scalar(self, value: object, path: str) -> object:
        if isinstance(value, str) and "${" in value:
            raise self._refused(
                path, "holds '${', a reference; nothing that a file says is looked up or called"
            )
        if isinstance(value, str) and len(value) > LONGEST:
            raise self._refused(
                path, f"is a text of {len(value):,} characters; at most {LONGEST:,} are read"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise self._refused(path, f"is {value}, which is no setting")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise self._refused(path, "is a whole number of more than 64 bits")
        return value

    def _refused(self, path: str, why: str) -> ValueError:
        return ValueError(f"{self.origin}: {printable(path)} {why}")


def read_json(file: Path) -> Any:
    """Content of a JSON file.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: where it is no ordinary file, too large or too deep, or no JSON.
    """
    refuse_special(file)
    if file.stat().st_size > LARGEST_JSON:
        raise ValueError(
            f"{printable(file)} has {file.stat().st_size:,} bytes; at most {LARGEST_JSON:,} are "
            "read"
        )
    return parse_json(file.read_bytes(), str(file))


def parse_json(text: str | bytes, origin: str) -> object:
    """Content of a JSON text.

    Raises:
        ValueError: where it is too deep, or no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ValueError(
            f"{printable(origin)} is no JSON that can be read ({printable(reason)})"
        ) from error


def refuse_special(path: Path) -> None:
    """Refuse pipes, sockets and devices, which may never end; what is not there is left to whoever
    opens it.

    Raises:
        ValueError: naming it.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(
            f"{printable(path)} is a pipe, a socket or a device; give an ordinary file"
        )


def read_yaml(file: Path) -> object:
    """Plain content of a yaml file that OmegaConf wrote, resolved; nothing at all for an empty one.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: where it is no ordinary file, too large or too deep, refers to something or
            repeats it, or is no yaml.
    """
    refuse_special(file)
    if file.stat().st_size > LARGEST_YAML:
        raise ValueError(
            f"{printable(file)} has {file.stat().st_size:,} bytes; at most {LARGEST_YAML:,} are "
            "read"
        )
    try:
        text = file.read_text()
        _check_yaml(text)
        content = (
            OmegaConf.to_container(OmegaConf.create(text), resolve=False) if text.strip() else {}
        )
    except (
        yaml.YAMLError,
        OmegaConfBaseException,
        ValueError,
        TypeError,
        AssertionError,
        RecursionError,
    ) as error:
        reason = printable(" ".join(str(error).split()), 150)
        raise ValueError(f"{printable(file)} is no yaml of a config ({reason})") from error
    return plain(content, str(file))


def _check_yaml(text: str) -> None:
    """Depth and aliases, by which little text becomes much, before anything is made of it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
            event, yaml.CollectionEndEvent
        )
        if depth > DEEPEST or isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"an alias, or nested deeper than {DEEPEST}")


def no_link(path: Path) -> Path:
    """The same path, where a link that somebody may have put there is removed: what is written
    stays in its folder.
    """
    if path.is_symlink():
        path.unlink(missing_ok=True)
    return path


def printable(text: object, limit: int = 300) -> str:
    """Text for one line of a screen: control characters escaped, the middle of what is too long
    left out.
    """
    whole = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in str(text)
    )
    return whole if len(whole) <= limit else f"{whole[: limit // 2]} ... {whole[-limit // 2 :]}"
