"""Progress of a paper's tables: the steps that make them, which have finished runs, and which are
missing.
"""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from mim.paper.command import differences, recipe, settings
from mim.paper.records import Record
from mim.paper.row import Cell, Measured, Row
from mim.paper.steps import Job, Step, step_of, steps_of
from mim.paper.table import Paper

SAID = 4
"""Differences that are told of one run."""


class PaperProgress:
    """Steps of a paper, and the runs that have made them.

    Args:
        paper: its tables.
        records: of runs, the newest last.
        seeds: that every number is wanted of.
    """

    def __init__(self, paper: Paper, records: Sequence[Record], seeds: Sequence[int] = (0,)):
        self.paper, self.seeds, self.steps = paper, list(seeds), steps_of(paper)
        self._finished = [record for record in records if record.status == "finished"]
        self._stopped = [record for record in records if record.status == "interrupted"]
        self._made: dict[tuple, list[Record]] = {}
        for step in self.steps:  # training comes first: what it left tells what was judged
            self._made[step.key] = [
                record for record in self._finished if not self._other(record, step)
            ]

    def made(self, step: Step) -> list[Record]:
        """Finished runs of a step, the newest last."""
        return self._made[step.key]

    def missing(self) -> list[Job]:
        """Steps without a finished run, in an order in which they can be run: all training before
        what judges it.
        """
        jobs = []
        for step in self.steps:
            for seed in self.seeds:
                if not any(self._root(step, record).seed == seed for record in self.made(step)):
                    stopped = [
                        r.folder
                        for r in self._stopped
                        if r.seed == seed and not self._other(r, step)
                    ]
                    jobs.append(
                        Job(step, seed, self._start(step, seed), stopped[-1] if stopped else None)
                    )
        return jobs

    def filled(self) -> Paper:
        """The paper with what has been measured."""
        tables = [
            table.model_copy(
                update={
                    "rows": [
                        self._filled(row, [c for c in table.cells() if c.row is row])
                        for row in table.rows
                    ]
                }
            )
            for table in self.paper.tables
        ]
        return self.paper.model_copy(update={"tables": tables})

    def by_seed(self, cell: Cell) -> dict[int, float]:
        """A number for each seed of the training that it judges, in per cent; only those that were
        run.
        """
        if (step := step_of(cell)) is None:
            return {}
        found = {
            trained: run.accuracy(cell.number)
            for (trained, _), run in self._runs(step, cell.number).items()
        }
        return {seed: number[0] for seed, number in found.items() if number}

    def counted(self) -> list[Record]:
        """The runs that made the steps: the newest of each seed."""
        newest = {
            (step.key, self._root(step, run).seed): run
            for step in self.steps
            for run in self.made(step)
        }
        return [run for (_, seed), run in newest.items() if seed in self.seeds]

    def passed_over(self) -> Iterator[str]:
        """Finished runs that are of no row, though of its experiment, or of its checkpoint: each
        with what is other.
        """
        counted = [record.folder for records in self._made.values() for record in records]
        for record in self._finished:
            near = [
                (self._other(record, step), step)
                for step in self.steps
                if record.folder not in counted
                and step.program == record.program
                and _aim(step.overrides) == _aim(record.overrides)
                and (
                    _aim(step.overrides)[0]
                    or any(_is_at(record.checkpoint, folder) for folder in counted)
                )
            ]
            if near:
                other, step = min(near, key=lambda pair: len(pair[0]))
                more = f" and {len(other) - SAID} more" if len(other) > SAID else ""
                yield f"{record.folder} is no run of {step.label}: {', '.join(other[:SAID])}{more}"

    def _other(self, record: Record, step: Step) -> list[str]:
        """What keeps a run from being one of a step; empty where nothing does."""
        if step.program != record.program:
            return [f"{record.program}, not {step.program}"]
        said = differences(recipe(step.overrides, record.shared_out), record.recipe())
        if step.after:
            if not any(_is_at(record.checkpoint, run.folder) for run in self.made(step.after)):
                said.append(
                    f"checkpoint={record.checkpoint or 'null'}, no finished run of "
                    f"{step.after.label}"
                )
        elif record.checkpoint != step.weights:
            said.append(
                f"checkpoint={record.checkpoint or 'null'}"
                + (f", not {step.weights}" if step.weights else "")
            )
        return said

    def _root(self, step: Step, record: Record) -> Record:
        """The training that a run judged, or itself."""
        if step.after is None:
            return record
        return next(
            run for run in reversed(self.made(step.after)) if _is_at(record.checkpoint, run.folder)
        )

    def _start(self, step: Step, seed: int) -> str | None:
        if step.after is None:
            return step.weights or None
        runs = [run for run in self.made(step.after) if run.seed == seed]
        return str(runs[-1].folder) if runs else None

    def _filled(self, row: Row, cells: Sequence[Cell]) -> Row:
        found = {
            cell.judge: self._measured(step, cell.number)
            for cell in cells
            if (step := step_of(cell))
        }
        measured = {judge: number for judge, number in found.items() if number}
        return row.model_copy(update={"measured": row.measured | measured})

    def _runs(self, step: Step, name: str) -> dict[tuple[int, int], Record]:
        """Runs that have a number, by the seeds of what they judged and their own: the newest of
        each pair, in order.
        """
        found = {
            (self._root(step, run).seed, run.seed): run
            for run in self.made(step)
            if run.accuracy(name)
        }
        return dict(sorted(found.items()))

    def _measured(self, step: Step, name: str) -> Measured | None:
        """One number: of one run, or the mean over seeds with its 95 % interval by Student's t."""
        by_seeds = self._runs(step, name)
        if not by_seeds:
            return None
        pairs, runs = list(by_seeds), list(by_seeds.values())
        every = list(dict.fromkeys(run for pair in runs for run in (self._root(step, pair), pair)))
        numbers = [number for run in runs if (number := run.accuracy(name))]
        values = [value for value, _ in numbers]
        trained = [pair[0] for pair in pairs]
        seeds = trained if len(set(trained)) == len(runs) else [pair[1] for pair in pairs]
        return Measured(
            value=statistics.mean(values),
            interval=numbers[0][1] if len(runs) == 1 else _over_seeds(values),
            commands=[run.command for run in dict.fromkeys([self._root(step, runs[0]), runs[0]])],
            commit=", ".join(dict.fromkeys(run.commit for run in every)),
            hardware="; ".join(dict.fromkeys(run.hardware for run in every)),
            seed=seeds[0] if len(seeds) == 1 else seeds,
        )


def _aim(overrides: Sequence[str]) -> tuple[str, ...]:
    """What a command is about: its experiment, or, where it has none, nothing, what it trains or
    evaluates and its data.
    """
    given = settings(overrides)
    chosen = given.get("experiment", "")
    return (
        (chosen,)
        if chosen
        else ("", given.get("evaluate", given.get("task", "")), given.get("data", ""))
    )


def _is_at(checkpoint: str, folder: Path) -> bool:
    """Whether a checkpoint is of a run's folder, also where both were moved to another place
    together.
    """
    if not checkpoint or ":" in checkpoint:
        return False
    return (
        Path(checkpoint).resolve() == folder.resolve()
        or Path(checkpoint).parts[-2:] == folder.parts[-2:]
    )


def _over_seeds(values: Sequence[float]) -> tuple[float, float]:
    from scipy.stats import t as student

    mean, count = statistics.mean(values), len(values)
    half = float(student.ppf(0.975, count - 1)) * statistics.stdev(values) / count**0.5
    return mean - half, mean + half
