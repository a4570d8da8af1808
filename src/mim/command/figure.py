"""Draw what papers draw, from finished runs and checkpoints: a picture, and its numbers as CSV beside it.

    python -m mim figure ratio runs/sweeps/<name>                      accuracy over the masking ratio, PIMR and Global PIMR (SBAM)
    python -m mim figure epochs runs/<a>/<date_time> runs/<b>/<date_time>   accuracy and loss over epochs

`python -m mim figure ratio --help` has the settings of one.
"""

import argparse
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from mim.figure.epochs import epochs_figure
from mim.figure.ratio import ratio_figure
from mim.figure.runs import Run, common_accuracy, find_runs
from mim.figure.series import sorted_into_series
from mim.figure.table import Drawn, write

RAW = argparse.RawDescriptionHelpFormatter


def run(arguments: list[str], configs: Path) -> None:
    """Draw one figure, and say where it is."""
    parser = argparse.ArgumentParser("python -m mim figure", description=__doc__, formatter_class=RAW)
    names = parser.add_subparsers(dest="name", metavar="name", required=True)
    for add in (_ratio, _epochs):
        add(names)
    given = parser.parse_args(arguments)
    picture = given.out or _default_picture(given.name)
    if picture.suffix != ".png":
        raise ValueError(
            f"--out={picture} is no .png file; the numbers go beside it as .csv, e.g. --out figures/{given.name}.png"
        )
    print(write(given.draw(given), picture))


def _default_picture(name: str) -> Path:
    return Path(os.environ.get("MIM_RUNS", "runs")) / "figures" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}" / f"{name}.png"


def _add(
    names: "argparse._SubParsersAction", name: str, what: str, draw: Callable[..., Drawn]
) -> argparse.ArgumentParser:
    parser = names.add_parser(name, help=what, description=f"{what}\n", formatter_class=RAW)
    parser.add_argument("--out", type=Path, help="the .png file to write; the default is a new folder of runs/figures")
    parser.set_defaults(draw=draw)
    return parser


def _ratio(names: "argparse._SubParsersAction") -> None:
    parser = _add(names, "ratio", "accuracy over the masking ratio, with PIMR and Global PIMR (SBAM)", _draw_ratio)
    _add_runs(
        parser,
        "finished runs of several ratios, or folders that hold them; also what eval.py or fine-tuning made of them",
    )
    parser.add_argument(
        "--metric", help="a number of results.json, e.g. linear/top1; the default is an accuracy that all have"
    )


def _epochs(names: "argparse._SubParsersAction") -> None:
    parser = _add(names, "epochs", "accuracy and loss over the epochs of several runs", _draw_epochs)
    _add_runs(parser, "runs, or folders that hold them")
    parser.add_argument(
        "--metric", nargs="+", help="columns of metrics.csv, a panel each; the default is an accuracy and train/loss"
    )


def _add_runs(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("runs", nargs="+", type=Path, help=what)
    parser.add_argument("--names", nargs="+", help="what the figure calls the series, in their order")


def _draw_ratio(given: argparse.Namespace) -> Drawn:
    found = find_runs(given.runs)
    runs = [run for run in found if run.status == "finished"]
    if not runs:
        raise ValueError(f"none of these {len(found)} run(s) is finished ({found[0].folder}: {found[0].status})")
    series = sorted_into_series(runs, lambda run: run.mask_ratio()[0], given.names)
    drawn = ratio_figure(series, given.metric or common_accuracy(runs))
    left_out = len(found) - len(runs)
    return drawn._replace(what=f"{drawn.what}; {left_out} unfinished left out") if left_out else drawn


def _draw_epochs(given: argparse.Namespace) -> Drawn:
    runs = find_runs(given.runs)
    metrics = given.metric or _accuracy_and_loss(runs)
    return epochs_figure(sorted_into_series(runs, lambda run: None, given.names), metrics)


def _accuracy_and_loss(runs: list[Run]) -> list[str]:
    return [common_accuracy(runs), "train/loss"]
