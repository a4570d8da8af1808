"""Paper and its tables: what a paper's yaml says."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from omegaconf import OmegaConf
from pydantic import ValidationError, model_validator

from mim.paper.command import merged
from mim.paper.row import Cell, NoCommand, NumberOf, Row, Said
from mim.plain import settings_of

HERE = Path(__file__).parent


class Bench(Said):
    """A table at a size that a CPU or one small GPU can do."""

    about: str
    """What is smaller, in words."""
    training: list[str]
    """Settings that every row's training has."""
    judged: dict[str, str]
    """By judge, commands instead of the paper's."""


class Table(Said):
    """Rows that were judged alike.

    Raises:
        ValueError: where a row has a number of a judge that the table does not name, or nothing to
            fill its command with.
    """

    name: str
    """Where it stands, e.g. `Table 1`."""
    about: str
    """What the numbers are, in which unit, and what they were measured on."""
    judged: dict[str, str | NumberOf | NoCommand]
    """By judge, `eval.py ...` or `train.py ...` without the checkpoint, one number of such a
    command, or why there is none.
    """
    rows: list[Row]
    bench: Bench | None = None

    @model_validator(mode="after")
    def _rows_fit(self) -> "Table":
        for row in self.rows:
            for judge in (*row.published, *row.measured, *row.reasons):
                if judge not in self.judged:
                    raise ValueError(
                        f"{self.name}: {row.trained} is judged by {judge!r}; allowed: "
                        f"{', '.join(self.judged)}"
                    )
                try:
                    self.cell(row, judge)
                except KeyError as field:
                    raise ValueError(
                        f"{self.name}: {row.trained} has nothing in `where` for {field}"
                    ) from field
        return self

    def cells(self) -> Iterator[Cell]:
        """Every number that is published, measured or wanted, row by row."""
        for row in self.rows:
            for judge in self.judged:
                if judge in row.published or judge in row.measured:
                    yield self.cell(row, judge)

    def cell(self, row: Row, judge: str) -> Cell:
        """The number of a row and a judge."""
        how = self.judged[judge]
        own = row.reasons.get(judge) or row.reason
        reason = own or (how.reason if isinstance(how, NoCommand) else "")
        by, number = (how.by, how.number) if isinstance(how, NumberOf) else (how, "")
        command = None if isinstance(by, NoCommand) or own else row.judged_with(by)
        return Cell(
            row, judge, row.published.get(judge), row.measured.get(judge), command, reason, number
        )

    def at_bench(self) -> "Table | None":
        """The rows that are trained here, with the settings of bench scale; None where the table
        has none.
        """
        bench = self.bench
        if bench is None:
            return None
        rows = [
            row.model_copy(
                update={
                    "by": merged(row.by, [*bench.training, *row.bench]),
                    "published": dict.fromkeys(bench.judged),
                    "reasons": {},
                    "measured": {},
                    "note": "",
                }
            )
            for row in self.rows
            if row.command
        ]
        about = f"{bench.about} Not comparable with published numbers."
        return Table(
            name=f"{self.name}, at bench scale", about=about, judged=dict(bench.judged), rows=rows
        )


class Paper(Said):
    """A paper's tables."""

    title: str
    source: str
    """Where to read it, e.g. `arXiv 2111.06377`."""
    tables: list[Table]
    left_out: str = ""
    """What of it is not here, and why."""

    def at_bench(self) -> "Paper":
        """Its tables at a size that a CPU or one small GPU can do.

        Raises:
            ValueError: where none says how.
        """
        tables = [small for table in self.tables if (small := table.at_bench())]
        if not tables:
            raise ValueError(
                f"no table of {self.title!r} says what it is at bench scale; add `bench:` to one "
                "of its yaml, or leave "
                "out --scale bench"
            )
        return Paper(title=f"{self.title}, at bench scale", source=self.source, tables=tables)


def names() -> list[str]:
    """The papers that there are tables of."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def read(file: Path) -> Paper:
    """Open a paper's yaml.

    Raises:
        ValueError: naming the file, the place in it, and what is wrong there.
    """
    return read_as(Paper, file)


What = TypeVar("What", bound=Said)


def read_as(what: type[What], file: Path) -> What:
    """Open a yaml of a paper or of a grid, as in `read`."""
    said = settings_of(OmegaConf.load(file))
    try:
        return what.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        problem = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{file.name}, {place}: {problem}") from error
