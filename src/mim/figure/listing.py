"""List of the runs below a folder: their state, their best numbers, and the settings in which they
differ.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mim.figure.rows import finite, read_rows, whole_number
from mim.figure.runs import Run, config_of, read_run
from mim.plain import Settings, printable

SIGNS = ("config.yaml", "results.json", "metrics.csv")
"""Files of a run, the first of which is there as soon as it begins."""
ALIVE = (*SIGNS, "checkpoints/last.ckpt", "output.log")
"""Files that a running one writes to."""
QUIET_SECONDS = 900.0
"""A run without results that has not written for so long is lost."""


class Best(NamedTuple):
    """Best value of a number over the epochs of a run."""

    value: float
    epoch: int | None
    """Counted from 1, 0 of the untrained encoder; None where only the last value is known."""


class Listed(NamedTuple):
    """Run of a list."""

    run: Run
    state: str
    """finished, interrupted, pruned, failed, running, or lost: killed without a word."""
    epoch: int
    """That has begun, counted from 1; 0 where nothing was written."""
    best: Mapping[str, Best]
    """Of each accuracy; of the training loss the last."""
    differs: Mapping[str, str]
    """Settings in which not all runs of the list are the same."""
    columns: Mapping[str, Mapping[int, float]]
    """Numbers over epochs, counted from 1."""


def list_runs(
    folder: Path, wanted: Callable[[Path], bool] = lambda path: True, now: float | None = None
) -> tuple[list[Listed], list[str]]:
    """Runs below a folder, the one that was written to last at the end; and a line about each that
    cannot be read.

    Args:
        folder: of runs, such as `runs`, or of one run.
        wanted: whether a run's folder, as seen from the other, is to be listed.
        now: seconds since the epoch; None for this moment.

    Raises:
        FileNotFoundError: where there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder}; give the one that holds the runs, e.g. runs"
        )
    found, unread = list[tuple[Run, Settings]](), list[str]()
    folders = {file.parent for sign in SIGNS for file in folder.rglob(sign)}
    for each in sorted(
        filter(lambda each: wanted(each.relative_to(folder)), folders),
        key=lambda each: (_last_written(each), each),
    ):
        try:
            found.append((read_run(each), _also(each)))
        except (OSError, ValueError) as error:
            unread.append(printable(error))
    if not found and not unread:
        raise FileNotFoundError(
            f"{folder} holds no such runs: {len(folders)} folders in it have {' or '.join(SIGNS)}"
        )
    differs = differences([run.settings | also for run, also in found])
    now = time.time() if now is None else now
    return [_listed(run, told, now) for (run, _), told in zip(found, differs, strict=True)], unread


def _also(folder: Path) -> Settings:
    """Settings by which runs of one experiment are told apart in a list, though not in a figure."""
    config = config_of(folder)
    return {
        name: config[name] for name in ("seed", "base_lr", "lr") if config.get(name) is not None
    }


def _last_written(folder: Path) -> float:
    return max((folder / name).stat().st_mtime for name in ALIVE if (folder / name).exists())


def _listed(run: Run, differs: Mapping[str, str], now: float) -> Listed:
    columns = _columns(run.folder / "metrics.csv")
    state = run.status
    if state == "running" and now - _last_written(run.folder) > QUIET_SECONDS:
        state = "lost"
    best = {name: _best(run, columns.get(name, {}), name) for name in _accuracies(run, columns)}
    if losses := columns.get("train/loss"):
        best["train/loss"] = Best(losses[max(losses)], max(losses))
    epoch = max((epoch for column in columns.values() for epoch in column), default=0)
    return Listed(run, state, epoch, best, differs, columns)


def _accuracies(run: Run, columns: Iterable[str]) -> list[str]:
    names = {*run.metrics, *columns}
    return sorted(name for name in names if name.endswith("top1"))


def _best(run: Run, column: Mapping[int, float], name: str) -> Best:
    epochs = {epoch: value for epoch, value in column.items() if not math.isnan(value)}
    if not epochs:
        return Best(run.metrics.get(name, math.nan), None)
    epoch = max(epochs, key=lambda each: epochs[each])
    return Best(epochs[epoch], epoch)


def _columns(file: Path) -> dict[str, dict[int, float]]:
    """Numbers of metrics.csv over epochs, the last of each epoch; empty where there is no file."""
    found: dict[str, dict[int, float]] = {}
    for row in read_rows(file) if file.exists() else ():
        if row.get("epoch"):
            epoch = whole_number(row["epoch"], file) + 1
            for name, text in row.items():
                if text and name not in ("epoch", "step") and not name.endswith("_untrained"):
                    found.setdefault(name, {})[epoch] = finite(text, file)
    return found


def differences(settings: Sequence[Settings]) -> list[dict[str, str]]:
    """Settings in which several runs are not all the same, under short names.

    What a run does not have is no difference; of a part that is another class, its class is said
    and not its settings.

    Args:
        settings: of each run, plain values by dotted name.
    """
    values: dict[str, set[str]] = {}
    for each in settings:
        for name, value in each.items():
            values.setdefault(name, set()).add(repr(value))
    told = {name for name, found in values.items() if len(found) > 1}
    shown = [name for name in sorted(told) if not _within_another_class(name, told)]
    return [
        dict(_short(name, each[name]) for name in shown if each.get(name) is not None)
        for each in settings
    ]


def _within_another_class(name: str, told: Collection[str]) -> bool:
    parts = name.split(".")
    above = range(1, len(parts) - (parts[-1] == "_target_"))
    private = parts[-1].startswith("_") and parts[-1] != "_target_"
    return private or any(".".join([*parts[:end], "_target_"]) in told for end in above)


def _short(name: str, value: object) -> tuple[str, str]:
    """`task.model.masker.score._target_` and `mim.masker.score.salience.Salience` -> `masker.score`
    and `Salience`.
    """
    parts = [part for part in name.split(".") if part not in ("task", "model")]
    if parts[-1] == "_target_":
        return ".".join(parts[:-1][-2:]) or "task", str(value).rpartition(".")[2]
    return ".".join(parts[-2:]), ", ".join(map(str, value)) if isinstance(value, tuple) else str(
        value
    )


def numbers_of(runs: Iterable[Listed]) -> list[str]:
    """Names of what is measured of them, that of most runs first; the training loss last."""
    counted: dict[str, int] = {}
    for name in _names(runs):
        counted[name] = counted.get(name, 0) + 1
    return sorted(counted, key=lambda name: (name == "train/loss", -counted[name], name))


def _names(runs: Iterable[Listed]) -> Iterator[str]:
    for each in runs:
        yield from each.best


def said_of(best: Best | None, name: str) -> str:
    """A number for a reader: `94.4 % (150)`, the epoch in brackets."""
    if best is None or math.isnan(best.value):
        return ""
    value = f"{100 * best.value:.1f} %" if name.endswith("top1") else f"{best.value:.4f}"
    return value if best.epoch is None or name == "train/loss" else f"{value} ({best.epoch})"
