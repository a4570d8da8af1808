"""A grid as Markdown: for each model and judge, maskers down and targets across, and what it
took.
"""

import textwrap
from collections.abc import Iterator, Sequence

from mim.paper.grid import Grid
from mim.paper.markdown import NOT_MEASURED, line
from mim.paper.progress import PaperProgress
from mim.paper.table import Table
from mim.sweep.job import read_job

NO_PAIR = "no pair"


def crossed(grid: Grid, progress: PaperProgress | None, command: str) -> str:
    """Title, what the numbers are, the tables, why pairs are missing, settings, and what made the
    numbers.

    Args:
        grid: maskers, targets and models.
        progress: runs of `grid.paper()`; None where none are looked at.
        command: that makes the page.
    """
    base, *tables = grid.paper().tables
    parts = [f"## {grid.title}", _filled(grid.about), _seeds(progress)]
    for judge in grid.judged:
        if progress:
            parts.append(f"Untrained, {judge}: {_cell(base, 0, judge, progress)}.")
        parts += [
            part
            for table in tables
            for part in (f"### {table.name}, {judge}", _matrix(grid, table, judge, progress))
        ]
    parts += ["\n".join(_reasons(grid)), "### Settings", _settings(grid)]
    parts += [f"    {command}", *([_made(progress)] if progress else [])]
    return "\n\n".join(part for part in parts if part)


def _seeds(progress: PaperProgress | None) -> str:
    seeds = progress.seeds if progress else []
    if len(seeds) < 2:
        return ""
    return _filled(
        f"Of several seeds the mean, and in brackets that of seeds {', '.join(map(str, seeds))}, "
        "as far as they were run."
    )


def _matrix(grid: Grid, table: Table, judge: str, progress: PaperProgress | None) -> str:
    across = list(grid.targets)
    lines = [line(["masker", *across]), line(["---", *("---:" for _ in across)])]
    for number, masker in enumerate(grid.models[table.name].maskers):
        first = number * len(across)
        lines.append(
            line(
                [
                    masker,
                    *(_cell(table, first + place, judge, progress) for place in range(len(across))),
                ]
            )
        )
    return "\n".join(lines)


def _cell(table: Table, number: int, judge: str, progress: PaperProgress | None) -> str:
    cell = table.cell(table.rows[number], judge)
    if cell.command is None:
        return NO_PAIR
    measured = progress.by_seed(cell) if progress else {}
    if not measured:
        return NOT_MEASURED
    values = list(measured.values())
    mean = f"{sum(values) / len(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({', '.join(f'{value:.1f}' for value in values)})"


def _reasons(grid: Grid) -> Iterator[str]:
    """Why pairs are none: each reason once."""
    of: dict[str, list[str]] = {}
    for target, what in grid.targets.items():
        for model, why in what.not_with.items():
            of.setdefault(why, []).append(f"{target} and {model}")
    for why, pairs in of.items():
        yield _filled(f"- {NO_PAIR}: {'; '.join(pairs)}: {why}.", "  ")


def _settings(grid: Grid) -> str:
    """Each row's command is `python train.py` with the settings of its model, masker, target and
    training.
    """
    rows = [("training", grid.training), ("untrained", grid.untrained)]
    rows += [(name, model.settings) for name, model in grid.models.items()]
    rows += [
        (f"{masker}, {name}", said)
        for name, model in grid.models.items()
        for masker, said in model.maskers.items()
    ]
    rows += [(name, target.settings) for name, target in grid.targets.items()]
    rows += [(judge, by.split(" ")) for judge, by in grid.judged.items()]
    said = [line(["of", "settings"]), line(["---", "---"])]
    return "\n".join(
        [*said, *(line([name, f"`{' '.join(words)}`" if words else ""]) for name, words in rows)]
    )


def _made(progress: PaperProgress) -> str:
    """Hours, commits and machines of the runs that count."""
    runs = progress.counted()
    if not runs:
        return ""
    hours = sum(read_job(run.folder, []).seconds or 0 for run in runs) / 3600
    wanted = len(progress.steps) * len(progress.seeds)
    done = wanted - len(progress.missing())
    return _filled(
        f"{done} of {wanted} trainings and judgements have been run, in {hours:.1f} hours, each in "
        "one process; "
        f"commit {_each(run.commit for run in runs)}; {_each(run.hardware for run in runs)}."
    )


def _each(said: Iterator[str] | Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(said))


def _filled(text: str, indent: str = "") -> str:
    """Lines of at most 100 characters."""
    lines = textwrap.wrap(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)
