"""Figures of finished runs, as `python -m mim figure` draws them; nothing of it needs torch."""

import argparse
from pathlib import Path

from mim.figure.epochs import epochs_figure
from mim.figure.ratio import ratio_figure
from mim.figure.runs import Run, common_accuracy, find_runs
from mim.figure.series import sorted_into_series
from mim.figure.table import Drawn


def draw_ratio(given: argparse.Namespace, configs: Path) -> Drawn:
    found = find_runs(given.runs)
    runs = [run for run in found if run.status == "finished"]
    if not runs:
        raise ValueError(
            f"none of these {len(found)} run(s) is finished ({found[0].folder}: {found[0].status})"
        )
    series = sorted_into_series(runs, lambda run: run.mask_ratio()[0], given.names)
    drawn = ratio_figure(series, given.metric or common_accuracy(runs))
    left_out = len(found) - len(runs)
    return (
        drawn._replace(what=f"{drawn.what}; {left_out} unfinished left out") if left_out else drawn
    )


def draw_epochs(given: argparse.Namespace, configs: Path) -> Drawn:
    runs = find_runs(given.runs)
    metrics = given.metric or _accuracy_and_loss(runs)
    return epochs_figure(sorted_into_series(runs, lambda run: None, given.names), metrics)


def _accuracy_and_loss(runs: list[Run]) -> list[str]:
    """What is drawn unless something is asked for: pictures without classes have a loss alone."""
    judged = any(name.endswith("top1") for run in runs for name in run.metrics)
    return [*([common_accuracy(runs)] if judged else []), "train/loss"]
