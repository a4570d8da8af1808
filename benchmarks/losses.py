"""What loss to expect: the training losses of runs at a few places on their way, and how they were
judged, as a Markdown table.

    python benchmarks/losses.py runs/<name>/<date_time> ... > table.md

A figure is the mean of what metrics.csv has in the twentieth of the run that ends there; the first
is the first one written down. Commands and commits are those that the runs left in results.json.
"""

import argparse
import csv
import json
import statistics
from pathlib import Path
from typing import Any

PLACES = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    runs = parser.parse_args().runs
    shares = " | ".join(f"{share:.0%}" for share in PLACES)
    print(
        f"| run | steps | first | {shares} | k-NN | linear |\n| --- "
        f"|{' ---: |' * (len(PLACES) + 4)}"
    )
    for run in runs:
        results = json.loads((run / "results.json").read_text())
        print(f"| {command(results)} | {row(run, results)} |")


def command(results: dict[str, Any]) -> str:
    """What made the run, without where its data were."""
    overrides = [
        "data.root=<folder>" if override.startswith("data.root=") else override
        for override in results["overrides"]
    ]
    return f"`{' '.join(['train.py', *overrides])}` at {results['commit'][:7]}"


def row(run: Path, results: dict[str, Any]) -> str:
    """Steps, the first loss, means along the way, and the accuracies at the end."""
    with (run / "metrics.csv").open(newline="") as file:
        losses = {
            int(line["step"]) + 1: float(line["train/loss"])
            for line in csv.DictReader(file)
            if line["train/loss"]
        }
    steps, metrics = results["steps"], results["metrics"]
    means = [
        statistics.mean(
            loss for step, loss in losses.items() if (share - 0.05) * steps < step <= share * steps
        )
        for share in PLACES
    ]
    judged = [
        f"{metrics[name]:.3f}" if name in metrics else "" for name in ("knn/top1", "linear/top1")
    ]
    return " | ".join(
        [f"{steps:,}", *(f"{value:.3f}" for value in (losses[min(losses)], *means)), *judged]
    )


if __name__ == "__main__":
    main()
