"""What a paper's yaml says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

HERE = Path(__file__).parent
RUN = "<its run>"


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Measured(_Said):
    """A number of ours, and all that it takes to make it again."""

    value: float
    interval: tuple[float, float] | None = None
    """95 %, where it is known."""
    commands: list[str]
    commit: str
    hardware: str
    seed: int


class Row(_Said):
    """One pre-training, and how it was judged."""

    trained: str
    """What the table calls it."""
    by: str
    """`train.py ...`, or weights that are published, e.g. `timm:vit_base_patch16_224.mae`."""
    where: dict[str, str | int] = {}
    """What fills the braces of the table's commands."""
    published: dict[str, float]
    """By judge."""
    measured: dict[str, Measured] = {}
    """By judge."""

    @property
    def command(self) -> str | None:
        """That trains it; None where the weights are published."""
        return f"python {self.by}" if self.by.startswith("train.py ") else None

    def judged_with(self, command: str) -> str:
        """A command of the table, on this row's weights."""
        program, _, settings = command.format(**self.where).partition(" ")
        return f"python {program} {settings} checkpoint={RUN if self.command else self.by}"


class Table(_Said):
    """Rows that were judged alike.

    Raises:
        ValueError: where a row has a number of a judge that the table does not name, or nothing to fill its command with.
    """

    name: str
    """Where it stands, e.g. `Table 1`."""
    about: str
    """What the numbers are, in which unit, and what they were measured on."""
    judged: dict[str, str]
    """By judge, `eval.py ...` or `train.py ...` without the checkpoint."""
    rows: list[Row]

    @model_validator(mode="after")
    def _rows_fit(self) -> "Table":
        for row in self.rows:
            for judge in (*row.published, *row.measured):
                if judge not in self.judged:
                    raise ValueError(
                        f"{self.name}: {row.trained} is judged by {judge!r}; allowed: {', '.join(self.judged)}"
                    )
                try:
                    row.judged_with(self.judged[judge])
                except KeyError as field:
                    raise ValueError(f"{self.name}: {row.trained} has nothing in `where` for {field}") from field
        return self

    def cells(self) -> Iterator["Cell"]:
        """Every number that is published or measured, row by row."""
        for row in self.rows:
            for judge, command in self.judged.items():
                if judge in row.published or judge in row.measured:
                    yield Cell(row, judge, row.published.get(judge), row.measured.get(judge), row.judged_with(command))


class Cell(NamedTuple):
    """One number of a table."""

    row: Row
    judge: str
    published: float | None
    measured: Measured | None
    command: str
    """That judges it."""


class Paper(_Said):
    """Its tables, as far as they can be made here."""

    title: str
    source: str
    """Where to read it, e.g. `arXiv 2111.06377`."""
    tables: list[Table]
    left_out: str = ""
    """What of it has no command here, and why."""


def names() -> list[str]:
    """The papers that there are tables of."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def read(file: Path) -> Paper:
    """Open a paper's yaml.

    Raises:
        ValueError: naming the file, the place in it, and what is wrong there.
    """
    said: Any = OmegaConf.to_container(OmegaConf.load(file))
    try:
        return Paper.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{file.name}, {place}: {first['msg'].removeprefix('Value error, ')}") from error
