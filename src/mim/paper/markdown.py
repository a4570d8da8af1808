"""A paper's tables as Markdown: published, measured, difference, and the command for each row."""

from collections.abc import Iterator

from mim.paper.table import Measured, Paper, Table

NOT_MEASURED = "not measured"


def markdown(paper: Paper) -> str:
    """Title, tables, and what is left out."""
    parts = [f"## {paper.title} ({paper.source})", *(_table(table) for table in paper.tables)]
    return "\n\n".join([*parts, *([f"Left out: {paper.left_out}"] if paper.left_out else [])])


def _table(table: Table) -> str:
    lines = [
        "| trained | judged by | published | measured | difference |",
        "| --- | --- | ---: | ---: | ---: |",
        *(
            f"| {row.trained} | {judge} | {_number(published)} | {_measured(measured)} | {_difference(published, measured)} |"
            for row, judge, published, measured, _ in table.cells()
        ),
    ]
    commands = "\n".join(f"    {line}" for line in _commands(table))
    made = "\n".join(_made(table))
    return "\n\n".join(part for part in (f"### {table.name}", table.about, "\n".join(lines), made, commands) if part)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _measured(measured: Measured | None) -> str:
    if measured is None:
        return NOT_MEASURED
    low_high = " ({:.1f} to {:.1f})".format(*measured.interval) if measured.interval else ""
    return f"{measured.value:.1f}{low_high}"


def _difference(published: float | None, measured: Measured | None) -> str:
    return "" if published is None or measured is None else f"{measured.value - published:+.1f}"


def _made(table: Table) -> Iterator[str]:
    """What made each measured number."""
    for row, judge, _, measured, _ in table.cells():
        if measured:
            how = ", then ".join(f"`{command}`" for command in measured.commands)
            yield (
                f"- {row.trained}, {judge}, {_measured(measured)}: {how}; commit {measured.commit}, seed {measured.seed}, "
                f"{measured.hardware}"
            )


def _commands(table: Table) -> Iterator[str]:
    """The command that trains each row, then those that judge them: once, where all rows are judged by the same."""
    commands = [(row.trained, row.command) for row in table.rows if row.command]
    for judge in table.judged:
        by = {cell.row.trained: cell.command for cell in table.cells() if cell.judge == judge}
        if len(set(by.values())) == 1:
            commands.append((judge, next(iter(by.values()))))
        else:
            commands += [(f"{trained}, {judge}", command) for trained, command in by.items()]
    width = max(len(what) for what, _ in commands)
    yield from (f"{what:<{width}}  {command}" for what, command in commands)
