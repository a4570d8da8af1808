"""Imports point one way (docs/design.md): a part knows the parts below it, never those above."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "mim"

TYPES = {
    "batch",
    "tokens",
    "draw",
    "precision",
    "ranges",
    "plain",
    "moved",
    "room",
    "cores",
    "geometry",
    "image_format",
    "part",
    "dense",
    "all_processes",
    "masker.split",
    "views",
}  # small enough for everyone to know
ALLOWED = {
    "batch": {"draw"},
    "tokens": {"geometry", "ranges"},
    "draw": set(),
    "precision": set(),
    "ranges": set(),
    "plain": set(),
    "moved": set(),
    "room": set(),
    "cores": set(),
    "geometry": {"ranges"},
    "image_format": {"plain", "geometry", "ranges"},
    "installed": set(),
    "part": set(),
    "dense": set(),
    "views": {"masker.split"},
    "all_processes": set(),
    "head": TYPES | {"encoder"},
    "masker": TYPES | {"optim.number"},
    "encoder": TYPES,
    "teacher": TYPES | {"encoder.encoder", "optim.number"},
    "target": TYPES | {"teacher.teacher", "checkpoint.sound", "encoder.beit", "encoder.positions"},
    "loss": TYPES | {"target", "teacher.teacher", "optim.number"},
    "pool": TYPES | {"encoder.encoder", "encoder.positions"},
    "optim": TYPES | {"encoder.encoder", "encoder.model"},
    "model": TYPES | {"encoder", "head", "masker", "pool"},
    "evaluate": TYPES | {"encoder", "head", "pool", "optim", "analysis"},
    "train": TYPES
    | {
        "encoder.encoder",
        "encoder.model",
        "model",
        "head",
        "loss",
        "optim",
        "run.position",
        "run.training_data",
        "teacher",
    },
    "augment": TYPES,
    "data": TYPES | {"augment", "launch.there"},
    "analysis": TYPES | {"encoder"},
    "figure": TYPES
    | {
        "analysis",
        "augment",
        "checkpoint",
        "data",
        "encoder",
        "launch",
        "model",
        "target",
        "weights",
    },
    "checkpoint": TYPES | {"launch.there"},
    "weights": TYPES
    | {
        "checkpoint",
        "encoder",
        "head",
        "target",
        "masker",
        "model",
        "pool",
        "launch.check",
        "launch.values",
        "launch.hint",
        "launch.signature",
        "launch.there",
    },
    "run": TYPES
    | {"analysis", "checkpoint", "data", "evaluate.metrics", "launch", "logger", "weights"},
    "door": TYPES
    | {
        "analysis",
        "augment",
        "checkpoint",
        "data",
        "encoder",
        "evaluate",
        "figure",
        "installed",
        "launch",
        "masker",
        "model",
        "pool",
        "target",
        "train",
        "weights",
    },
    "hub": TYPES | {"weights", "paper"},
    "launch": {"installed", "ranges", "plain", "cores", "moved", "geometry"},
    "sweep": {"launch", "plain"},
    "strategy": {"checkpoint", "encoder.encoder", "part", "precision", "ranges", "run.insides"},
    "logger": {"ranges", "plain"},
    "paper": {"sweep", "plain", "moved"},
}
ANYTHING = {"callback", "command", "program", "__main__"}  # and nothing imports these, but for
ABOVE = {("__main__", "command"), ("__main__", "program"), ("command", "callback")}


def part_of(module: str) -> str:
    """`masker.score.block` -> `masker`."""
    return module.partition(".")[0]


def is_allowed(importer: str, imported: str) -> bool:
    """Whether one module of mim may import another, both named without `mim.`."""
    if part_of(importer) == part_of(imported):
        return True
    if (part_of(importer), part_of(imported)) in ABOVE:
        return True
    if part_of(imported) in ANYTHING:
        return False
    if part_of(importer) in ANYTHING:
        return True
    return any(
        imported == below or imported.startswith(f"{below}.")
        for below in ALLOWED[part_of(importer)]
    )


def imports(source: str) -> Iterator[str]:
    """Modules of mim that a source imports anywhere, without `mim.`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            names = (
                [f"mim.{alias.name}" for alias in node.names]
                if node.module == "mim"
                else [node.module or ""]
            )
        else:
            continue
        assert "mim" not in names, f"line {node.lineno}: nothing of mim is asked of its front door"
        yield from (name.removeprefix("mim.") for name in names if name.startswith("mim."))


def modules() -> dict[str, str]:
    """Name without `mim.` -> source."""
    paths = [path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text() for path in paths
    }


def test_no_module_imports_one_above_it():
    wrong = [
        f"mim.{importer} imports mim.{imported}"
        for importer, source in modules().items()
        for imported in imports(source)
        if not is_allowed(importer, imported)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_part_has_its_place_in_the_order():
    assert {part_of(module) for module in modules()} <= set(ALLOWED) | ANYTHING


def test_the_order_has_no_circle():
    everything = set(ALLOWED) | {"masker.split"}
    above = {part: everything | {low for high, low in ABOVE if high == part} for part in ANYTHING}
    below = {
        part: {part_of(name) for name in names if name != "masker.split"}
        for part, names in (ALLOWED | above).items()
    }
    while below:
        lowest = {part for part, names in below.items() if not names & set(below) - {part}}
        assert lowest, f"a circle among {sorted(below)}"
        below = {part: names for part, names in below.items() if part not in lowest}


@pytest.mark.parametrize(
    ("importer", "source", "allowed"),
    [
        ("model.mae", "from mim.masker.masker import Masker", True),
        ("masker.masker", "from mim.model.mae import MAE", False),
        ("loss.term", "from mim.masker.split import Split", True),
        ("loss.term", "from mim.masker.masker import Masker", False),
        ("data.digits", "def late():\n    import mim.train.pretrain", False),
        ("train.pretrain", "from mim import callback", False),
        ("train.pretrain", "import mim.command.train", False),
        ("callback.results", "import mim.command.train", False),
        ("door.features", "def late():\n    from mim.command.train import train", False),
        ("command.train", "from mim.run.resumed import Resumed", True),
        ("callback.results", "from mim.evaluate.knn import KNN", True),
    ],
)
def test_the_rule_sees_what_breaks_it(importer, source, allowed):
    assert [is_allowed(importer, imported) for imported in imports(source)] == [allowed]
