"""One job of a sweep: a folder, what its command line says, and how it ended."""

import json
from pathlib import Path
from typing import NamedTuple, TypeVar

from mim.plain import Settings, no_link, printable, read_json, refuse_special

RECORD = "job.json"
OUTPUT = "output.log"
LONGEST_LOG = 2**20  # bytes at its end, in which an error is looked for
STOPPED = (85, 130)
STATES = ("finished", "pruned", "interrupted", "failed", "running")

T = TypeVar("T")
D = TypeVar("D")


class Job(NamedTuple):
    """What a sweep knows of a job, read from its folder.

    Attributes:
        folder: the run's folder.
        overrides: the job's command line.
        status: finished, pruned, interrupted, failed or running (also of a job that was lost
            without a word).
        metrics: chosen numbers in the order they were asked for; None where the job does not have
            one.
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
    """What a job left in its folder.

    Raises:
        ValueError: naming the file that is not as a job writes it.
    """
    record, results = Written(folder / RECORD), Written(folder / "results.json")
    measured = results.get("metrics", dict, results.content)
    return Job(
        folder=folder,
        overrides=record.texts("overrides") or results.texts("overrides"),
        status=_status(record, results),
        metrics=[_number(measured.get(name)) for name in metrics],
        images_per_second=_number(results.content.get("images_per_second")),
        seconds=_number(record.content.get("seconds") or results.content.get("wall_seconds")),
        commit=results.get("commit", str, None),
        error=_error(folder / OUTPUT),
    )


def read_jobs(sweep: Path, metrics: list[str]) -> list[Job]:
    """All jobs of a sweep's folder, in the order they were begun."""
    folders = [path for path in sweep.iterdir() if path.name.isdigit()] if sweep.is_dir() else []
    return [
        read_job(folder, metrics) for folder in sorted(folders, key=lambda path: int(path.name))
    ]


def write_record(folder: Path, **record: object) -> None:
    """Add to what is written down about a job."""
    text = json.dumps(Written(folder / RECORD).content | record, indent=2)
    partial = no_link(folder / f".{RECORD}.partial")
    partial.write_text(text + "\n")
    partial.replace(folder / RECORD)


def _status(record: "Written", results: "Written") -> str:
    exit_code = record.get("exit_code", int, None)
    said = results.get("status", str, "finished")
    if said not in STATES:
        raise results.malformed(f"status={printable(said, 40)}")
    if exit_code is None:  # nobody saw it end: another launcher's job, or a sweep that was killed
        return said if results.content else "running"
    if exit_code == 0:
        return said
    return "interrupted" if exit_code in STOPPED else "failed"


class Written:
    """What a JSON file of a job says, which anyone may have written; nothing where there is none or
    it was never finished.
    """

    def __init__(self, file: Path):
        self.file = file
        try:
            refuse_special(file)
            content = read_json(file) if file.exists() and file.stat().st_size else {}
        except ValueError as error:
            raise ValueError(f"{error}; remove the file to run the job again") from error
        if not isinstance(content, dict):
            raise self.malformed(f"a {type(content).__name__}")
        self.content: Settings = content

    def get(self, name: str, kind: type[T], default: D) -> T | D:
        """A value of a kind, or the default where there is none."""
        value = self.content.get(name)
        if value is not None and type(value) is not kind:
            raise self.malformed(f"{name}={printable(value, 40)}")
        return default if value is None else value

    def texts(self, name: str) -> list[str]:
        """List of texts under a name; empty where there is none."""
        value = self.get(name, list, [])
        if not all(type(each) is str for each in value):
            raise self.malformed(f"{name}={printable(value, 40)}")
        return value

    def malformed(self, what: str) -> ValueError:
        """The error about something that no job writes."""
        return ValueError(
            f"{self.file} is not as a job writes it ({what}); remove the file to run the job again"
        )


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e300:
        return None
    return float(value)


def _error(log: Path) -> str | None:
    refuse_special(log)
    lines: list[str] = []
    if log.exists():
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - LONGEST_LOG))
            lines = stream.read(LONGEST_LOG).decode(errors="replace").splitlines()
    return next(
        (line.removeprefix("error: ") for line in reversed(lines) if line.startswith("error: ")),
        None,
    )
