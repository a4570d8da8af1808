"""Row of a paper's table and its cells: one pre-training, and the numbers of it that were published
and measured.
"""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, model_validator

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
