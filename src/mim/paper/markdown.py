"""A paper's tables as Markdown: published, measured, difference, and the command for each row."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from mim.paper.ledger import Deviation
from mim.paper.row import Cell, Measured
from mim.paper.table import Paper, Table

NOT_MEASURED = "not measured"
NO_COMMAND = "no command"


def markdown(paper: Paper, differs: Mapping[str, Sequence[Deviation]] | None = None) -> str:
    """Title, tables, where commands differ from their sources, and what is left out.

    Args:
        paper: as its yaml says.
        differs: deviations by experiment; those of the paper's commands are listed.
    """
    parts = [f"## {paper.title} ({paper.source})", *(_table(table) for table in paper.tables)]
    if told := list(_deviations(paper, differs or {})):
        parts.append("\n".join(["### Where a command differs from its source", "", *told]))
    return "\n\n".join([*parts, *([f"Left out: {paper.left_out}"] if paper.left_out else [])])


def _table(table: Table) -> str:
    cells = list(table.cells())
    published = any(cell.published is not None for cell in cells)
    notes = any(row.note for row in table.rows)
    header = ["trained", "judged by", *(["published"] if published else []), "measured"]
    header += [*(["difference"] if published else []), *(["note"] if notes else [])]
    lines = [
        line(header),
        line("---" if name in ("trained", "judged by", "note") else "---:" for name in header),
    ]
    told = None
    for cell in cells:
        note = "" if cell.row.trained == told else cell.row.note  # beside the first of its numbers
        told = cell.row.trained
        all_of_it = {
            "trained": cell.row.trained,
            "judged by": cell.judge,
            "published": number(cell.published),
            "measured": _measured(cell),
            "difference": _difference(cell.published, cell.measured),
            "note": note,
        }
        lines.append(line(all_of_it[name] for name in header))
    commands = "\n".join(f"    {line}" for line in _commands(table))
    parts = [f"### {table.name}", table.about, "\n".join(lines), "\n".join(_made(cells)), commands]
    return "\n\n".join(part for part in [*parts, "\n".join(_reasons(cells))] if part)


def line(cells: Iterable[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def number(value: float | None) -> str:
    """With one decimal, or as many as are printed: 84.0, 23.75, 0.125."""
    return (
        ""
        if value is None
        else max(f"{value:.1f}", f"{value:g}", key=lambda said: len(said.partition(".")[2]))
    )


def _measured(cell: Cell) -> str:
    if cell.measured is None:
        return NOT_MEASURED if cell.command else NO_COMMAND
    return _with_interval(cell.measured)


def _with_interval(measured: Measured) -> str:
    low_high = " ({:.1f} to {:.1f})".format(*measured.interval) if measured.interval else ""
    return f"{measured.value:.1f}{low_high}"


def _difference(published: float | None, measured: Measured | None) -> str:
    return "" if published is None or measured is None else f"{measured.value - published:+.1f}"


def _made(cells: Iterable[Cell]) -> Iterator[str]:
    """What made each measured number."""
    for cell in cells:
        if measured := cell.measured:
            how = ", then ".join(f"`{command}`" for command in measured.commands)
            seeds = [measured.seed] if isinstance(measured.seed, int) else measured.seed
            word = (
                f"seed {seeds[0]}"
                if len(seeds) == 1
                else f"mean of seeds {', '.join(map(str, seeds))}"
            )
            yield (
                f"- {cell.row.trained}, {cell.judge}, {_with_interval(measured)}: {how}; commit "
                f"{measured.commit}, "
                f"{word}, {measured.hardware}"
            )


def _commands(table: Table) -> Iterator[str]:
    """The command that trains each row, then those that judge them: once, where all rows, or
    several numbers, are of the same.
    """
    commands = [(row.trained, row.command) for row in table.rows if row.command]
    judges: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for judge in table.judged:
        by = {
            cell.row.trained: cell.command
            for cell in table.cells()
            if cell.judge == judge and cell.command
        }
        judges.setdefault(tuple(by.items()), []).append(judge)
    for pairs, (first, *more) in judges.items():
        by, judge = dict(pairs), f"{first} and {len(more)} more" if more else first
        if len(set(by.values())) == 1:
            commands.append((judge, next(iter(by.values()))))
        else:
            commands += [(f"{trained}, {judge}", command) for trained, command in by.items()]
    width = max((len(what) for what, _ in commands), default=0)
    yield from (f"{what:<{width}}  {command}" for what, command in commands)


def _reasons(cells: Iterable[Cell]) -> Iterator[str]:
    """Why numbers have no command: each reason once, with the rows that it is of."""
    of: dict[str, dict[str, list[str]]] = {}
    every: dict[str, list[str]] = {}
    for cell in cells:
        every.setdefault(cell.row.trained, []).append(cell.judge)
        if cell.reason:
            of.setdefault(cell.reason, {}).setdefault(cell.row.trained, []).append(cell.judge)
    for reason, rows in of.items():
        told = [
            trained if judges == every[trained] else f"{trained} ({', '.join(judges)})"
            for trained, judges in rows.items()
        ]
        where = ""
        if len(told) < len(every) or any("(" in row for row in told):
            where = f" for {'; '.join(_alike(rows, every) or told)}"
        yield f"- No command{where}: {reason}."


def _alike(rows: Mapping[str, list[str]], every: Mapping[str, list[str]]) -> list[str]:
    """The judges alone, where a reason is about the same ones in every row."""
    sets = {tuple(judges) for judges in rows.values()}
    return [", ".join(sets.pop())] if len(sets) == 1 and set(rows) == set(every) else []


def _deviations(paper: Paper, differs: Mapping[str, Sequence[Deviation]]) -> Iterator[str]:
    """Experiments that differ alike, then what they differ in."""
    alike: dict[str, list[str]] = {}
    for experiment in experiments(paper):
        if experiment in differs:
            alike.setdefault("\n".join(_choices(differs[experiment])), []).append(f"`{experiment}`")
    for choices, names in alike.items():
        yield f"- {', '.join(names)}\n{choices}"


def _choices(differs: Sequence[Deviation]) -> Iterator[str]:
    """A line for each reason."""
    for (reason, like), same in groupby(differs, key=lambda one: (one.reason, one.like)):
        if like:
            yield f"  - {', '.join(one.field for one in same)} as `{like}`: {reason}"
        else:
            fields = (f"{one.field} {_plain(one.ours)} ({_said(one.source)})" for one in same)
            yield f"  - {', '.join(fields)}: {reason}"


def _said(source: object) -> str:
    return "not stated" if source is None else f"in the source {_plain(source)}"


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(one)}" for key, one in value.items())
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def experiments(paper: Paper) -> list[str]:
    """The experiments that a paper's commands name, in their order."""
    commands = [
        command
        for table in paper.tables
        for command in (
            *(row.command for row in table.rows),
            *(cell.command for cell in table.cells()),
        )
        if command
    ]
    return list(
        dict.fromkeys(
            name for command in commands for name in re.findall(r" experiment=(\S+)", command)
        )
    )
