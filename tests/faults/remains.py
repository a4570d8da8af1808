"""What a training leaves in its folder, but for what depends on time and place."""

import csv
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mim.checkpoint.sharded import is_sharded, read_sharded

TIMED = ("throughput/", "attention/refresh_seconds")
KEPT = (
    *("state_dict", "optimizer_states", "lr_schedulers", "global_step", "callbacks"),
    *("current_model_state", "averaging_state"),
)


class Remains(NamedTuple):
    """Bit for bit."""

    rows: list[dict[str, str]]
    metrics: dict[str, float]
    checkpoints: dict[str, dict[str, str]]
    files: dict[str, str]


def remains(folder: Path) -> Remains:
    """Read them."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [
            {k: v for k, v in row.items() if v and not k.startswith(TIMED)}
            for row in csv.DictReader(file)
        ]
    metrics = json.loads((folder / "results.json").read_text())["metrics"]
    everything = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not _inside_a_checkpoint(path, folder)
    )
    pictured = [path for path in everything if path.suffix in (".png", ".npy")]
    return Remains(
        [row for row in rows if row.keys() - {"step", "epoch"}],
        {name: value for name, value in metrics.items() if not name.startswith(TIMED)},
        {path.name: _checkpoint(path) for path in sorted((folder / "checkpoints").iterdir())},
        {
            str(path.relative_to(folder)): _sum(path) if path in pictured else ""
            for path in everything
        },
    )


def differences(expected: Remains, found: Remains) -> list[str]:
    """What is not as it should be, in words."""
    wrong = []
    if found.rows != expected.rows:
        ours, theirs = (
            [tuple(sorted(row.items())) for row in rows] for rows in (found.rows, expected.rows)
        )
        more = [dict(row) for row in ours if ours.count(row) > theirs.count(row)]
        less = [dict(row) for row in theirs if theirs.count(row) > ours.count(row)]
        wrong.append(
            f"rows: too many {more[:3]}, missing {less[:3]}"
            if more or less
            else "rows in another order"
        )
    for what in ("metrics", "files"):
        ours, theirs = getattr(found, what), getattr(expected, what)
        unequal = sorted(
            k
            for k in ours.keys() | theirs.keys()
            if ours.get(k, "absent") != theirs.get(k, "absent")
        )
        wrong += [f"{what} differ: {unequal[:6]}"] if unequal else []
    for name in sorted(found.checkpoints.keys() | expected.checkpoints.keys()):
        ours, theirs = (each.checkpoints.get(name, {}) for each in (found, expected))
        unequal = [key for key in KEPT if ours.get(key) != theirs.get(key)]
        wrong += [f"{name} differs in {', '.join(unequal)}"] if unequal else []
    return wrong


def _inside_a_checkpoint(path: Path, folder: Path) -> bool:
    return path.relative_to(folder).parts[0] == "checkpoints" and path.parent.suffix == ".ckpt"


def _checkpoint(path: Path) -> dict[str, str]:
    """Sums of its parts."""
    content: Any = read_sharded(path) if is_sharded(path) else torch.load(path, weights_only=True)
    return {
        key: hashlib.sha256(repr(list(_leaves(content[key]))).encode()).hexdigest()
        for key in KEPT
        if key in content
    }


def _leaves(node: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(node, Mapping):
        return [leaf for key in node for leaf in _leaves(node[key], f"{path}.{key}")]
    if isinstance(node, list | tuple):
        return [leaf for i, each in enumerate(node) for leaf in _leaves(each, f"{path}[{i}]")]
    if isinstance(node, Tensor):
        raw = node.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return [(path, f"{node.dtype} {tuple(node.shape)} {hashlib.sha256(raw).hexdigest()}")]
    return [(path, repr(node))]


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
