"""Finished runs as figures read them: what was measured, how each was set up, and which of them
differ in nothing but a seed.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mim.figure.rows import finite, read_rows, whole_number
from mim.plain import Settings, printable, read_json, read_yaml

SIGNS = ("results.json", "metrics.csv")  # a folder with either is a run's
TRAINED = (
    "task",
    "evaluate",
    "data",
    "epochs",
    "images_per_step",
    "attention_from",
    "checkpoint",
)
"""What a run's numbers depend on."""
NOT_A_SETTING = ("seed", "root", "num_workers", "compile")  # by which no two runs are told apart
RATIOS = ("ratio", "mask_ratio", "parts")  # what partitions call it


class Run(NamedTuple):
    """A folder that a training or a judging left."""

    folder: Path
    status: str
    """As results.json has it; "running" where there is none yet."""
    metrics: dict[str, float]
    """By name, the last values."""
    settings: Settings
    """Plain values by dotted name, defaults among them, of the pre-training, and under `judged.` of
    what came after it.
    """
    name: str
    """Of the pre-training, e.g. `mae_vit_pico_random_digits`."""

    def metric(self, name: str) -> float:
        """One number.

        Raises:
            ValueError: where the run does not have it, naming those that it has.
        """
        if name not in self.metrics:
            raise ValueError(
                f"{self.folder} has no {name}; it has "
                f"{', '.join(sorted(self.metrics)) or 'no numbers'}"
            )
        return self.metrics[name]

    def mask_ratio(self) -> tuple[str, float]:
        """The setting that says how much is masked, and the share that it asks for: of K parts all
        but one.

        Raises:
            ValueError: where nothing says.
        """
        for node in ("task.model.masker.then.partition", "task.model.masker.partition"):
            for key in RATIOS:
                value = self.settings.get(f"{node}.{key}")
                if isinstance(value, int | float) and value:
                    return f"{node}.{key}", 1 - 1 / value if key == "parts" else float(value)
        raise ValueError(
            f"{self.folder} does not say how much was masked; give runs of pre-training, or what "
            "judged or fine-tuned them"
        )

    def column(self, name: str) -> dict[int, float]:
        """A number over epochs, counted from 1, as metrics.csv has it: the mean of all that was
        written in an epoch.

        Raises:
            ValueError: where the run does not have it, naming those that it has.
        """
        file = self.folder / "metrics.csv"
        if not file.exists():
            raise ValueError(
                f"{self.folder} has no metrics.csv; curves need a training with logger=csv"
            )
        found: dict[int, list[float]] = {}
        has: set[str] = set()
        for row in read_rows(file):
            has |= {key for key, value in row.items() if value}
            if row.get(name) and row.get("epoch"):
                found.setdefault(whole_number(row["epoch"], file) + 1, []).append(
                    finite(row[name], file)
                )
        if not found:
            numbers = ", ".join(sorted(has - {"epoch", "step"})) or "no numbers"
            raise ValueError(
                f"{self.folder} has no {name} over epochs; it has {printable(numbers, 1000)}"
            )
        return {epoch: sum(values) / len(values) for epoch, values in sorted(found.items())}


class Series(NamedTuple):
    """Runs that are one line of a figure."""

    name: str
    runs: list[Run]


def find_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Runs of folders, each a run's own or one that holds them, such as a sweep's, each once.

    Raises:
        FileNotFoundError: where there is none.
    """
    folders = dict.fromkeys(folder.resolve() for path in paths for folder in _folders(Path(path)))
    return [read_run(folder) for folder in folders]


def _folders(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        raise FileNotFoundError(
            f"there is no folder {path}; give a run's (runs/<name>/<date_time>) or a sweep's"
        )
    found = (
        [path]
        if _is_run(path)
        else sorted(filter(_is_run, [*path.glob("*"), *path.glob("*/*")]), key=_in_order)
    )
    if not found:
        raise FileNotFoundError(
            f"{path} holds no runs: no {' or '.join(SIGNS)}, and none in its folders"
        )
    yield from found


def _is_run(folder: Path) -> bool:
    return any((folder / sign).exists() for sign in SIGNS)


def _in_order(folder: Path) -> list[tuple[bool, int, str]]:
    """The jobs of a sweep by their numbers."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in folder.parts]


def read_run(folder: Path) -> Run:
    """What a run left. One that judged or fine-tuned a checkpoint is set up as the run that wrote
    that, and as it says itself.

    Raises:
        ValueError: naming the file that is not as a run writes it.
    """
    file = folder / "results.json"
    results = read_json(file) if file.exists() else {}
    measured = results.get("metrics", results) if isinstance(results, dict) else None
    if not isinstance(measured, dict) or not isinstance(results.get("status", ""), str):
        raise ValueError(
            f"{printable(file)} is not as a run writes it: no metrics or no status by their names"
        )
    config = config_of(folder)
    settings, name = _settings(config), config.get("name")
    source = config.get("checkpoint") or results.get("checkpoint")
    # what masks needs no other run
    if isinstance(source, str) and "task.model.masker._target_" not in settings:
        wrote = config_of(_run_of(Path(source)))
        how = results.get("evaluate", results.get("task"))
        own = settings | ({"evaluate": how} if how else {})
        settings = _settings(wrote) | {
            f"judged.{key}": value for key, value in own.items() if key != "checkpoint"
        }
        name = wrote.get("name") or name or Path(source).stem
    return Run(
        folder=folder,
        status=results.get("status", "finished") if results else "running",
        metrics={key: float(value) for key, value in measured.items() if _is_number(value)},
        settings=settings,
        name=str(name or folder.name),
    )


def _run_of(checkpoint: Path) -> Path:
    """The folder of the run that wrote a checkpoint."""
    return checkpoint.parents[1] if checkpoint.parent.name == "checkpoints" else checkpoint


def config_of(folder: Path) -> Settings:
    """Config that a run wrote; nothing at all where there is none.

    Raises:
        ValueError: where it is no config of a run.
    """
    file = folder / "config.yaml"
    config = read_yaml(file) if file.exists() else {}
    if not isinstance(config, dict):
        raise ValueError(f"{printable(file)} is a {type(config).__name__}, not the config of a run")
    return config


def _settings(config: Settings) -> Settings:
    """Plain values by dotted name, of what training depends on; what is different in every run,
    such as a path in it, left out.
    """
    run = str((config.get("paths") or {}).get("run"))
    flat = dict(_flat({name: config.get(name) for name in TRAINED if name in config}))
    return {
        name: value
        for name, value in flat.items()
        if name.rpartition(".")[2] not in NOT_A_SETTING and not str(value).startswith(run)
    }


def _flat(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, tuple(node) if isinstance(node, list) else node


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def common_accuracy(runs: Sequence[Run]) -> str:
    """The accuracy that all runs have: k-NN's where they do, otherwise the first.

    Raises:
        ValueError: where there is none.
    """
    names = [{name for name in run.metrics if name.endswith("top1")} for run in runs]
    common = sorted(set.intersection(*names))
    if not common:
        has = sorted({name for run in runs for name in run.metrics})
        raise ValueError(
            f"these {len(runs)} run(s) have no accuracy in common; choose a number with --metric, "
            f"of {', '.join(has) or 'none'}"
        )
    return "knn/top1" if "knn/top1" in common else common[0]
