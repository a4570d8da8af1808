"""Nearest key to a setting that is none: where the config has that name, or who would take it."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from omegaconf import OmegaConf

from mim.launch.check import nearest, takes
from mim.launch.choices import chosen, composed, files_of

OF_OTHERS = {
    "learning_rate": "lr",
    "mask_ratio": "masker.partition.ratio",
    "ckpt_path": "resume",
}
"""What other projects call a setting -> what it is called here."""


def nearest_key(given: str, configs: Path, config_name: str) -> str:
    """Look for the nearest key at the deepest level that exists, in the config as the choices of
    the command line make it.
    """
    node = composed(configs, config_name, chosen(configs, sys.argv[1:])) or composed(
        configs, config_name
    )
    assert node is not None
    parents: list[str] = []
    for part in given.split("."):
        child = OmegaConf.to_container(node, resolve=False)
        if not isinstance(child, dict) or part not in child or not isinstance(child[part], dict):
            keys = [str(key) for key in child] if isinstance(child, dict) else []
            if not parents and "." in given and files_of(configs, part):
                own = f", or change that of the run: +{given}=..." if part == "data" else ""
                return f"choose {part}= with it ({', '.join(files_of(configs, part))}){own}"
            if isinstance(child, dict) and takes(child, part):
                return f"{child['_target_']} takes it, but it is not set here; add it: +{given}=..."
            where = f"in {'.'.join(parents)}: " if parents else ""
            deeper = _deeper(child, part, parents)
            if deeper:
                return f"did you mean {' or '.join(map(repr, deeper))}?"
            added = _takers(child, part) if not parents else []
            if added:
                return f"{added[0]} takes it; add it: +{added[0]}.{part}=..."
            others = _choices_with(part, configs, parents[0]) if len(parents) == 1 else []
            elsewhere = (
                f"; {given} is a setting of {parents[0]}={', '.join(others)}" if others else ""
            )
            return where + nearest(part, keys) + elsewhere
        parents.append(part)
        node = node[part]
    return "it is a whole group: set one of its keys"


def _deeper(node: object, name: str, parents: list[str]) -> list[str]:
    """Where a setting is that was looked for further up; of the whole config, where it is least
    deep, and where its value comes from.
    """
    found = list(settings_named(node, name, ".".join(parents)))
    if parents:
        return [path for path, _ in found]
    if name in OF_OTHERS:
        return [OF_OTHERS[name]]
    least = min((path.count(".") for path, _ in found), default=0)
    handed_on = {path: re.fullmatch(r"\$\{([\w.]+)\}", str(value)) for path, value in found}
    places = {
        origin[1] if origin else path
        for path, origin in handed_on.items()
        if path.count(".") == least
    }
    return sorted(places)


def _takers(node: object, name: str) -> list[str]:
    """Parts of the whole config that take a setting which is not among theirs."""
    parts = node.items() if isinstance(node, dict) else ()
    return [str(key) for key, part in parts if isinstance(part, dict) and takes(part, name)]


def _choices_with(key: str, configs: Path, group: str) -> list[str]:
    """Choices of a group that set a key themselves."""
    files = ((name, configs / group / f"{name}.yaml") for name in files_of(configs, group))
    return [name for name, file in files if file.is_file() and key in OmegaConf.load(file)]


def settings_named(node: object, name: str, path: str) -> Iterator[tuple[str, object]]:
    """All settings of a name: dotted path and value of each."""
    if isinstance(node, dict):
        if name in node:
            yield f"{path}.{name}".lstrip("."), node[name]
        for key, value in node.items():
            yield from settings_named(value, name, f"{path}.{key}")
