"""Where the config tree and the programs are: in a checkout, and in a package that was installed
without one.
"""

import os
import re
import sys
from pathlib import Path

_PACKAGE = Path(__file__).parent
CONFIGS = (
    _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parents[1] / "configs"
)

COMMANDS = {"train.py": "train", "eval.py": "evaluate"}
"""The programs of a checkout, and what `python -m mim` calls them everywhere."""


def as_typed(text: str, in_checkout: bool = CONFIGS.parent != _PACKAGE) -> str:
    """Text with commands as they are typed here: `python train.py` in a checkout,
    `python -m mim train` without one.
    """
    if in_checkout:
        return text
    return re.sub(
        r"(?:python )?\b(train|eval)\.py\b",
        lambda found: f"python -m mim {COMMANDS[f'{found[1]}.py']}",
        text,
    )


def program(name: str) -> list[str]:
    """A command that starts `train.py` or `eval.py`, whether there is a checkout or not."""
    return [sys.executable, "-m", "mim", COMMANDS[name]]


def this_program() -> list[str]:
    """A command that starts what is running now, without its arguments: a script, or a module of
    ours.
    """
    spec = sys.modules["__main__"].__spec__
    if spec is not None and spec.name.startswith("mim."):
        return [sys.executable, "-m", spec.name]
    return [sys.executable, os.path.abspath(sys.argv[0])]
