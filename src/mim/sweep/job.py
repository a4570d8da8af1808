"""One job of a sweep: a folder, what its command line says, and how it ended."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

RECORD = "job.json"
OUTPUT = "output.log"
STOPPED = (85, 130)


class Job(NamedTuple):
    """What a sweep knows of a job, read from its folder.

    Attributes:
        folder: the run's folder.
        overrides: the job's command line.
        status: finished, pruned, interrupted, failed or running (also of a job that was lost without a word).
        metrics: chosen numbers in the order they were asked for; None where the job does not have one.
        images_per_second: of training, where there was one.
        seconds: that it took, also in earlier attempts.
        commit: of the code that ran.
        error: the line that says what went wrong.
    """

    folder: Path
    overrides: list[str]
    status: str
    metrics: list[float | None]
    images_per_second: float | None = None
    seconds: float | None = None
    commit: str | None = None
    error: str | None = None


def read_job(folder: Path, metrics: list[str]) -> Job:
    """What a job left in its folder."""
    record, results = _json(folder / RECORD), _json(folder / "results.json")
    measured = results.get("metrics", results)
    return Job(
        folder=folder,
        overrides=record.get("overrides") or results.get("overrides") or [],
        status=_status(record.get("exit_code"), results),
        metrics=[_number(measured.get(name)) for name in metrics],
        images_per_second=_number(results.get("images_per_second")),
        seconds=record.get("seconds") or results.get("wall_seconds"),
        commit=results.get("commit"),
        error=_error(folder / OUTPUT),
    )


def read_jobs(sweep: Path, metrics: list[str]) -> list[Job]:
    """All jobs of a sweep's folder, in the order they were begun."""
    folders = [path for path in sweep.iterdir() if path.name.isdigit()] if sweep.is_dir() else []
    return [read_job(folder, metrics) for folder in sorted(folders, key=lambda path: int(path.name))]


def write_record(folder: Path, **record: Any) -> None:
    """Add to what is written down about a job."""
    text = json.dumps(_json(folder / RECORD) | record, indent=2)
    partial = folder / f".{RECORD}.partial"
    partial.write_text(text + "\n")
    partial.replace(folder / RECORD)


def _status(exit_code: int | None, results: dict[str, Any]) -> str:
    if exit_code is None:  # nobody saw it end: another launcher's job, or a sweep that was killed
        return results.get("status", "finished") if results else "running"
    if exit_code == 0:
        return results.get("status", "finished")
    return "interrupted" if exit_code in STOPPED else "failed"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _error(log: Path) -> str | None:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return next((line.removeprefix("error: ") for line in reversed(lines) if line.startswith("error: ")), None)


def _json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
