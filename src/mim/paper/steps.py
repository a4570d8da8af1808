"""Steps of a paper's tables: commands, what they start from, and the jobs that are missing."""

import shlex
from pathlib import Path
from typing import NamedTuple

from mim.paper.command import recipe, written
from mim.paper.row import RUN, Cell, Row
from mim.paper.table import Paper


class Step(NamedTuple):
    """One command of a table, and what it starts from."""

    label: str
    """What it makes, e.g. `MAE + AMT, linear`."""
    program: str
    overrides: tuple[str, ...]
    """Without the checkpoint."""
    weights: str = ""
    """Published weights that it judges."""
    after: "Step | None" = None
    """The training whose run it judges, or goes on from."""

    @property
    def key(self) -> tuple:
        """What two steps have in common that one run makes both of."""
        settings = tuple(sorted(recipe(self.overrides, shared_out=True).items()))
        return self.program, settings, self.weights, self.after and self.after.key


class Job(NamedTuple):
    """A step that is missing for a seed."""

    step: Step
    seed: int
    checkpoint: str | None
    """What it starts from; None where that is missing too, or where there is nothing to start
    from.
    """
    interrupted: Path | None = None
    """An earlier run of it that can be gone on with."""

    @property
    def can_run(self) -> bool:
        """Whether what it starts from is there."""
        return self.checkpoint is not None or self.step.after is None

    @property
    def overrides(self) -> list[str]:
        """Settings of its command line: the step's, a seed but 0, and what it starts from."""
        seed = [f"seed={self.seed}"] if self.seed else []
        start = self.checkpoint or (RUN if self.step.after else "")
        return [*self.step.overrides, *seed, *([f"checkpoint={start}"] if start else [])]

    @property
    def command(self) -> str:
        """What there is to type."""
        given = self.overrides
        if self.interrupted:  # it knows its checkpoint
            given = [
                *(o for o in given if not o.startswith("checkpoint=")),
                f"resume={self.interrupted}",
            ]
        return written(self.step.program, given).replace(f"'checkpoint={RUN}'", f"checkpoint={RUN}")


def steps_of(paper: Paper) -> list[Step]:
    """Each once: the training of rows that are judged, then what judges them."""
    judged = [step for table in paper.tables for cell in table.cells() if (step := step_of(cell))]
    trained = [one for step in judged for one in _before(step)]
    steps: dict[tuple, Step] = {}
    for step in (*trained, *judged):
        steps.setdefault(step.key, step)
    return list(steps.values())


def step_of(cell: Cell) -> Step | None:
    """The step that makes a number; None where there is no command."""
    if cell.command is None:
        return None
    command, _, _ = cell.command.removeprefix("python ").rpartition(" checkpoint=")
    program, *own = shlex.split(command)
    label = f"{cell.row.trained}, {cell.judge}"
    if cell.row.command is None:
        return Step(label, program, tuple(own), weights=cell.row.by.replace("null", ""))
    return Step(label, program, tuple(own), after=_training(cell.row))


def _training(row: Row) -> Step:
    """The training of a row, after that of the row that it starts from."""
    program, *given = shlex.split(row.by)
    return Step(
        row.trained, program, tuple(given), after=_training(row.after) if row.after else None
    )


def _before(step: Step) -> list[Step]:
    """The trainings that come before a step, first to last."""
    return [*_before(step.after), step.after] if step.after else []
