"""Write docs/choose.md: every choice of every config group, with what its yaml or its class says of
it.

python docs/choose.py > docs/choose.md
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
HEAD = """# Choose

Every part is a config group; `group=choice` on the command line takes another one, and
`group.key=value` changes a setting of it. This page is made from `configs/` by `make choose`.

    python -m mim train masker=block encoder=vit_tiny data=cifar10
    python -m mim train masker.partition.ratio=0.6 epochs=50
    python -m mim train --cfg job         # the whole config, without a run

A group inside of another is chosen by its place, for example `target@loss.target=hog`,
`augment@data.augment=crop_flip_mae`, `pool@callback.online_probe.pool=cls`,
`masker/score=salience`.
"""
SKIPPED = {"hydra", "paths", "experiment", "recipe", "model/decoder"}
"""Groups that nobody chooses one by one: a recipe follows task and data, a decoder the encoder;
experiments are in tables.md.
"""

SAID = {
    "weight_decay_schedule": "how the weight decay changes over a training; null keeps it",
    "clip": "how gradients are cut; null leaves them, and trainer.gradient_clip_val=5 cuts all of "
    "them together",
    "debug": "short runs that look for faults; null for none",
}


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for group, what in groups().items():
        rows = [f"| `{name}` | {said} |" for name, said in choices(group)]
        what = SAID.get(group, what)
        title = f"## {group}\n\n" + (f"{what[0].upper()}{what[1:]}.\n\n" if what else "")
        parts.append(title + "\n".join(["| choice | what it is |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def groups() -> dict[str, str]:
    """Groups in the order of train.yaml, then of eval.yaml, then others; and what the file says of
    each.
    """
    found: dict[str, str] = {}
    for file in ("train", "eval"):
        text = re.sub(
            r"\n +# ", " ", (CONFIGS / f"{file}.yaml").read_text()
        )  # comments go on below
        for line in text.splitlines():
            match = re.fullmatch(r"  - (?:optional )?([a-z_]+): [^#]*?(?:# (.*))?", line)
            if match and match[1] not in SKIPPED:
                found.setdefault(match[1], re.split(r"[;.] |, hence", match[2] or "")[0].strip())
    there = sorted(
        str(folder.relative_to(CONFIGS))
        for folder in CONFIGS.rglob("*")
        if any(folder.glob("*.yaml"))
    )
    inside = [
        name for name in there if not {name, name.partition("/")[0]} & SKIPPED and name not in found
    ]
    ordered: dict[str, str] = {}
    for name in [*found, *(name for name in inside if name.partition("/")[0] not in found)]:
        ordered |= {name: found.get(name, "")} if name in there else {}
        ordered |= {each: "" for each in inside if each.startswith(f"{name}/")}
    return ordered


def choices(group: str) -> Iterator[tuple[str, str]]:
    """Choices of a group, and what is known of each."""
    for file in sorted((CONFIGS / group).glob("*.yaml")):
        text = file.read_text()
        node = yaml.safe_load(text) or {}
        yield (
            file.stem,
            (_comment(text) or _of_target(node) or _of_parts(node) or "").replace("|", "\\|"),
        )


def _comment(text: str) -> str:
    """What the file says first: its lines of comment, without Hydra's own, without commands and
    what stands indented below them.
    """
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words = line.removeprefix("#").strip()
        if not words.startswith(("@package", "python ", "pip ")) and not line.startswith("#   "):
            lines.append(words)
    return " ".join(lines)


def _of_target(node: Any) -> str:
    """First sentence of the docstring of the class or function that a config builds, where it is
    ours; else its name.
    """
    inner = next(
        (each for each in node.values() if isinstance(each, dict) and "_target_" in each), {}
    )
    target = node.get("_target_") or inner.get("_target_") or ""
    module, _, name = str(target).rpartition(".")
    file = ROOT / "src" / f"{module.replace('.', '/')}.py"
    if not target or not file.is_file():
        return f"`{target}`" if target else ""
    known = ast.parse(file.read_text()).body
    found = next(
        (
            each
            for each in known
            if isinstance(each, ast.ClassDef | ast.FunctionDef) and each.name == name
        ),
        None,
    )
    said = " ".join((ast.get_docstring(found) or "").partition("\n\n")[0].split()) if found else ""
    said = re.split(r"(?<=[a-z\])])\. ", said)[0].removesuffix(".") + "." if said else ""
    plain = {
        key: value
        for key, value in node.items()
        if not str(key).startswith("_") and _is_plain(value)
    }
    settings = ", ".join(
        f"`{key}={str(value).lower() if isinstance(value, bool) else value}`"
        for key, value in plain.items()
    )
    return f"{said} {settings}".strip()


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str) and "$" not in str(value)


def _of_parts(node: Any) -> str:
    """Of a choice that is made of others: their names."""
    listed = node.get("defaults") or []
    names = [
        each if isinstance(each, str) else "=".join(map(str, next(iter(each.items()))))
        for each in listed
    ]
    return ", ".join(f"`{name}`" for name in names if name != "_self_")


if __name__ == "__main__":
    print(page(), end="")
