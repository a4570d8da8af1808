"""Command lines as people mistype them, drawn at random:
`python -m tests.security.bad_commands 200` prints them.
"""

import random
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mim.installed import CONFIGS
from mim.launch.resolvers import register_resolvers

VALUES = (
    *(
        "nan",
        "-inf",
        "-1",
        "0",
        "abc",
        "[1,2]",
        "{a:1}",
        "true",
        "''",
        "1.5",
        "[]",
        "[nan]",
        "1e30",
        "null",
        "???",
    ),
    *(
        "[[1]]",
        "{}",
        "-0.0",
        "1e-400",
        "99999999999999999999",
        "'a b'",
        "${seed}",
        "${nope}",
        "/dev/null",
        "a/b",
        "[a,null]",
    ),
)
WORDS = (
    "nope",
    "null",
    "[]",
    "3",
    "true",
    "[nope]",
    "cls",
    "random",
    "[random,block]",
    "../seed",
    "a/b/c",
    "''",
    "{a:1}",
)
SYNTAX = (
    *(
        "=",
        "a",
        "a=",
        "=b",
        "a==b",
        "a=[1",
        "a={b",
        "a='x",
        "a=${",
        "a=b c",
        "+",
        "~",
        "++",
        "a.b.c",
        ".=1",
        "a..b=1",
    ),
    *(
        "epochs",
        "epochs=1,2",
        "epochs=(1",
        "epochs=range(3)",
        "epochs=choice(1)",
        "+epochs=1",
        "~epochs",
        "~nope",
        "seed:=1",
    ),
    *(
        "-x",
        "--nope",
        "--cfg",
        "--config-name=nope",
        "hydra.run.dir=",
        "hydra.sweep.dir=[a]",
        "hydra/launcher=nope",
        "hydra.nope=1",
    ),
    *(
        "é=1",
        "épochs=1",
        "epochs=１",
        "seed=\u202e1",
        "@=1",
        "a@b=c",
        "masker@=random",
        "masker@x=random",
        "+masker@x=random",
    ),
)


def settings(node: Any, path: str = "") -> Iterator[str]:
    """Dotted names of all settings of a config."""
    for key, value in node.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict):
            yield name
            yield from settings(value, name)
        else:
            yield name


def known(program: str, chosen: Sequence[str]) -> tuple[list[str], list[str]]:
    """Settings and groups of a command with some choices."""
    register_resolvers()
    more = [*chosen] if program == "train" else [*chosen, "checkpoint=x"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config: Any = OmegaConf.to_container(compose(program, more), resolve=False)
    groups = [str(folder.relative_to(CONFIGS)) for folder in CONFIGS.rglob("*") if folder.is_dir()]
    return [name for name in settings(config) if not name.startswith("hydra")], sorted(groups)


def drawn(program: str, count: int, seed: int, chosen: Sequence[str] = ()) -> list[list[str]]:
    """Arguments of so many commands, the same for the same seed; each begins with the same
    choices.
    """
    names, groups = known(program, chosen)
    draw = random.Random(seed)

    def one() -> str:
        kind = draw.random()
        name = draw.choice(names)
        if kind < 0.5:
            return f"{name}={draw.choice(VALUES)}"
        if kind < 0.6:
            return f"{draw.choice(['+', '~', '++'])}{name}={draw.choice(VALUES)}"
        if kind < 0.68:  # a slip of a finger
            place = draw.randrange(len(name))
            return f"{name[:place]}{name[place + 1 :]}={draw.choice(VALUES)}"
        if kind < 0.74:
            return f"+{name}.nope={draw.choice(VALUES)}"
        if kind < 0.9:
            return f"{draw.choice(groups)}={draw.choice(WORDS)}"
        return draw.choice(SYNTAX)

    return [[*chosen, *(one() for _ in range(draw.choice([1, 1, 1, 2])))] for _ in range(count)]


if __name__ == "__main__":
    for number in range(*map(int, sys.argv[1:])):
        program = ("train", "eval")[number % 4 == 3]
        (arguments,) = drawn(program, 1, number)
        print(program, *map(shlex.quote, arguments))
