"""What a job of the study has left in its folder."""

import json
from pathlib import Path

from mim.sweep.job import read_job


def done(folder: Path) -> bool:
    """Whether a job has ended well."""
    return (folder / "results.json").exists() and read_job(folder, []).status == "finished"


def can_be_judged(folder: Path) -> bool:
    """Whether a training has ended and its weights are there, as they are not of kept numbers."""
    return done(folder) and (folder / "checkpoints").exists()


def numbers(folder: Path) -> dict[str, float]:
    """What a finished job measured; nothing of another."""
    return json.loads((folder / "results.json").read_text())["metrics"] if done(folder) else {}


def table(folder: Path) -> list[dict]:
    """Rows of a probe: checkpoint, pool, setting, top1."""
    return (
        json.loads((folder / "results.json").read_text()).get("table", []) if done(folder) else []
    )
