"""The end of a sweep: one row a job, best first, on the screen and in `sweep.md` and
`sweep.csv`.
"""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from mim.plain import no_link, printable
from mim.sweep.job import Job, read_jobs

ORDER = ("finished", "pruned", "running", "interrupted", "failed")


class Table(Callback):
    """What Hydra calls when a sweep is over, whatever launched its jobs.

    Args:
        metric: names of the numbers to compare; the first decides the order.
        maximise: whether more of it is better.
    """

    def __init__(self, metric: str | Sequence[str], maximise: bool):
        # of other kinds it is checked when a sweep begins
        one = isinstance(metric, str) or not isinstance(metric, Sequence)
        self.metrics, self.maximise = [str(metric)] if one else list(metric), maximise

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Write and print the table.

        Raises:
            SystemExit: 1 if a job failed or there is no table, 85 if a job was only interrupted.
        """
        try:
            jobs = write_table(Path(config.hydra.sweep.dir), self.metrics, self.maximise)
        except (ValueError, OSError) as error:  # Hydra would warn, and end well
            print(
                f"error: no table of the sweep: {printable(error, 10_000)}",
                file=sys.stderr,
                flush=True,
            )
            raise SystemExit(1) from error
        states = {job.status for job in jobs}
        if states - {"finished", "pruned"}:
            raise SystemExit(1 if "failed" in states else 85)


def write_table(sweep: Path, metrics: Sequence[str], maximise: bool) -> list[Job]:
    """Write `sweep.md` and `sweep.csv` into a sweep's folder, print the former, and return the
    jobs, best first.
    """
    jobs = sorted(read_jobs(sweep, list(metrics)), key=lambda job: _rank(job, maximise))
    rows = [_row(job, jobs) for job in jobs]
    header = ["job", "overrides", "status", *metrics, "images/s", "seconds"]
    text = markdown(header, rows) + _notes(jobs)
    no_link(sweep / "sweep.md").write_text(text)
    with no_link(sweep / "sweep.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *([_no_formula(cell) for cell in row] for row in rows)])
    print(text, end="", flush=True)
    return jobs


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are as wide as their longest cell; numbers stand on the right, and no
    cell holds HTML.
    """
    rows = [
        [printable(cell, 10_000).replace("|", "\\|").replace("<", "\\<") or "-" for cell in row]
        for row in rows
    ]
    width = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    right = [
        bool(rows) and all(_is_number(cell) for cell in column)
        for column in zip(*rows, strict=True)
    ]
    right = right or [False] * len(header)
    out = io.StringIO()
    for i, row in enumerate([header, *rows]):
        cells = [
            f"{c:>{w}}" if r else f"{c:<{w}}" for c, w, r in zip(row, width, right, strict=True)
        ]
        out.write(f"| {' | '.join(cells)} |\n")
        if i == 0:
            lines = [
                "-" * (w - 1) + ":" if r else "-" * w for w, r in zip(width, right, strict=True)
            ]
            out.write(f"| {' | '.join(lines)} |\n")
    return out.getvalue()


def distinct(job: Job, jobs: Sequence[Job]) -> str:
    """What tells a job's command line from those of the others."""
    common = set.intersection(*(set(other.overrides) for other in jobs)) if len(jobs) > 1 else set()
    return " ".join(override for override in job.overrides if override not in common)


def _rank(job: Job, maximise: bool) -> tuple:
    first = job.metrics[0] if job.metrics else None
    value = 0.0 if first is None else -first if maximise else first
    return ORDER.index(job.status), first is None, value, int(job.folder.name)


def _row(job: Job, jobs: Sequence[Job]) -> list[str]:
    speed = "" if job.images_per_second is None else f"{job.images_per_second:.0f}"
    seconds = "" if job.seconds is None else f"{job.seconds:.0f}"
    metrics = ["" if value is None else f"{value:.4f}" for value in job.metrics]
    return [job.folder.name, distinct(job, jobs), job.status, *metrics, speed, seconds]


def _notes(jobs: Sequence[Job]) -> str:
    """What all jobs share, what went wrong, and whether they ran the same code."""
    notes = []
    if len(jobs) > 1:
        common = [o for o in jobs[0].overrides if all(o in job.overrides for job in jobs)]
        notes += [f"All jobs: {' '.join(common)}"] if common else []
    for job in jobs:
        if job.status == "failed":
            notes.append(
                f"Job {job.folder.name} failed: {job.error or 'it said no reason'}; see "
                f"{job.folder}/output.log"
            )
    commits = sorted({job.commit for job in jobs if job.commit})
    if len(commits) > 1:
        notes.append(f"The jobs ran different code: commits {', '.join(commits)}")
    return "".join(f"\n{note}\n" for note in notes)


def _no_formula(cell: str) -> str:
    """A cell that no spreadsheet runs: what begins like a formula and is no number gets a quote
    before it.
    """
    return (
        f"'{cell}"
        if cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not _is_number(cell)
        else cell
    )


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(".", "").replace("-", "", 1).isdigit()
