"""`python -m mim tables`: print papers' tables, and make them where that is asked for."""

import argparse
import os
from pathlib import Path

from mim.cores import available_cores
from mim.installed import as_typed, program
from mim.launch.check import nearest
from mim.launch.errors import Interrupted
from mim.launch.signals import end, listen
from mim.paper.crossed import crossed
from mim.paper.grid import grids, read_grid
from mim.paper.ledger import deviations, unmade
from mim.paper.make import Outcome, make
from mim.paper.markdown import markdown
from mim.paper.progress import PaperProgress
from mim.paper.records import find_records
from mim.paper.table import HERE, Paper, names, read
from mim.sweep.fresh import visible_gpus
from mim.sweep.process import how_to_begin

ALL = """# Papers' tables

Published numbers are the authors'; measured ones are ours, with what made them. Every command
composes and passes the check that a run makes first; one without a measured number has not been run
to its end here. `<its run>` is the folder that pre-training left. A number that nothing makes here
yet stands with the reason instead of a command.
Made by `make tables` from `src/mim/paper/`.

"""

MAKES_GRIDS = "MIM_DATA=<pictures> python -m mim tables --scale bench --run --seeds 0,1"


def run(asked: argparse.Namespace, configs: Path) -> None:
    """Print the tables as Markdown, and make them where that is asked for.

    Raises:
        SystemExit: 1 if a job failed, 85 or 130 if some were only stopped.
    """
    chosen = asked.papers or (grids() if asked.scale == "bench" else names())
    if asked.run and not asked.papers and asked.scale == "paper":
        raise ValueError(
            "--run makes the tables of the papers that are named; e.g. python -m mim tables amt "
            "--run, "
            "or python -m mim tables --scale bench --run"
        )
    papers = {name: _at_scale(name, asked.scale) for name in chosen}
    runs = asked.runs or (Path(os.environ.get("MIM_RUNS", "runs")) if asked.run else None)
    ended = Outcome([], [])
    for name, paper in papers.items() if asked.run else ():
        assert runs is not None
        ended = Outcome(
            *(a + b for a, b in zip(ended, _make(name, paper, runs, asked), strict=True))
        )
    tables = "\n\n".join(_text(name, paper, runs, asked.seeds) for name, paper in papers.items())
    some = asked.papers or runs or asked.scale == "bench"
    print(as_typed(tables if some else f"{ALL}{tables}\n\n{_unmade()}"))
    if ended.failed or ended.unfinished:
        raise SystemExit(1 if ended.failed else 85)


def _unmade() -> str:
    """Recipes that no experiment makes."""
    names = ", ".join(f"`{name}`" for each in unmade().values() for name in each)
    said = (
        f"The sources have recipes, or numbers without one, of {names}; nothing here makes them "
        "yet."
    )
    return f"## Recipes without a command\n\n{said}"


def _at_scale(name: str, scale: str) -> Paper:
    if name in grids():
        return read_grid(name).paper()
    if name not in names() and not name.endswith(".yaml"):
        raise ValueError(f"there are no tables of {name}; {nearest(name, [*names(), *grids()])}")
    paper = read(Path(name) if name.endswith(".yaml") else HERE / f"{name}.yaml")
    return paper.at_bench() if scale == "bench" else paper


def _make(name: str, paper: Paper, runs: Path, asked: argparse.Namespace) -> Outcome:
    runs.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // asked.parallel)))
    folder = runs / "tables" / (Path(name).stem + ("_bench" if asked.scale == "bench" else ""))
    devices = 1 if asked.scale == "bench" or name in grids() else -1
    listen()
    try:
        return make(
            lambda: PaperProgress(paper, find_records(runs), asked.seeds),
            folder,
            program,
            asked.parallel,
            visible_gpus(),
            devices,
            how_to_begin(None),
        )
    except Interrupted as stop:
        print(
            f"stopped by {stop.cause}; give the same command again to go on with what is missing",
            flush=True,
        )
        raise SystemExit(stop.exit_code) from None
    finally:
        end()


def _text(name: str, paper: Paper, runs: Path | None, seeds: list[int]) -> str:
    """The tables; with runs also what is still to be run, and which runs are of no row."""
    if name in grids():
        progress = None if runs is None else PaperProgress(paper, find_records(runs), seeds)
        return crossed(read_grid(name), progress, MAKES_GRIDS)
    if runs is None:
        return markdown(paper, deviations())
    progress = PaperProgress(paper, find_records(runs), seeds)
    parts = [markdown(progress.filled(), deviations())]
    if missing := progress.missing():
        commands = "\n".join(f"    {job.command}" for job in missing)
        parts.append(f"### Still to be run, in this order\n\n{commands}")
    if passed := list(progress.passed_over()):
        parts.append("### Runs of no row\n\n" + "\n".join(f"- {said}" for said in passed))
    return "\n\n".join(parts)
