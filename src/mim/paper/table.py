"""Paper, table, row and cell: what a paper's yaml says."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mim.paper.command import merged
from mim.plain import settings_of

HERE = Path(__file__).parent
RUN = "<its run>"


class Said(BaseModel):
    """What a yaml may say: nothing else."""

    model_config = ConfigDict(extra="forbid")


class Measured(Said):
    """A number of ours, and all that it takes to make it again."""

    value: float
    """Mean over seeds, where there are several."""
    interval: tuple[float, float] | None = None
    """95 %: of the held-out images, or, with several seeds, of the mean over seeds."""
    commands: list[str]
    commit: str
    hardware: str
    seed: int | list[int]


class NumberOf(Said):
    """One of several numbers that a command makes."""

    by: str
    """`eval.py ...` or `train.py ...`, without the checkpoint."""
    number: str
    """Its name in results.json, e.g. `val/box_ap`; a share of 1, which tables show in per cent."""


class NoCommand(Said):
    """Why a number cannot be made here."""

    reason: str


class Row(Said):
    """One pre-training, and how it was judged.

    Raises:
        ValueError: where it has neither a command nor a reason for having none, or both.
    """

    trained: str
    """What the table calls it."""
    by: str = ""
    """`train.py ...`, weights that are published, e.g. `timm:vit_base_patch16_224.mae`, or `null`
    for random ones.
    """
    after: "Row | None" = None
    """The row whose run its training starts from: in a yaml an anchor, `after: *first`."""
    reason: str = ""
    """Why there is no command, instead of one."""
    note: str = ""
    """What has to be said beside its numbers, e.g. that another source prints another."""
    where: dict[str, str | int] = {}
    """What fills the braces of the table's commands."""
    published: dict[str, float | None]
    """By judge; null where a number is wanted that nobody printed."""
    reasons: dict[str, str] = {}
    """By judge, why that number alone has no command."""
    measured: dict[str, Measured] = {}
    """By judge."""
    bench: list[str] = []
    """Settings that its training has at bench scale, beside those of the table."""

    @model_validator(mode="after")
    def _has_a_command_or_a_reason(self) -> "Row":
        if bool(self.by) == bool(self.reason):
            raise ValueError(
                f"{self.trained} has to say `by` (a command, or weights) or `reason` (why none), "
                "one of them"
            )
        return self

    @property
    def command(self) -> str | None:
        """Training command, with what it starts from; None where the weights are published, or
        nothing trains them here.
        """
        if not self.by.startswith("train.py "):
            return None
        return f"python {self.by} checkpoint={RUN}" if self.after else f"python {self.by}"

    def judged_with(self, command: str) -> str:
        """A command of the table, on this row's weights."""
        program, _, settings = command.format(**self.where).partition(" ")
        return f"python {program} {settings} checkpoint={RUN if self.command else self.by}"


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

    def cells(self) -> Iterator["Cell"]:
        """Every number that is published, measured or wanted, row by row."""
        for row in self.rows:
            for judge in self.judged:
                if judge in row.published or judge in row.measured:
                    yield self.cell(row, judge)

    def cell(self, row: Row, judge: str) -> "Cell":
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


class Cell(NamedTuple):
    """One number of a table."""

    row: Row
    judge: str
    published: float | None
    measured: Measured | None
    command: str | None
    """That judges it; None where there is none."""
    reason: str
    """Why there is none."""
    number: str = ""
    """Which number of that command it is; empty for its accuracy."""


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


What = TypeVar("What", bound="Said")


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
