"""Records of finished runs, as `results.json` keeps them: which command made which number."""

from dataclasses import dataclass, field
from pathlib import Path

from mim.moved import moved_choice, moved_setting
from mim.paper.command import recipe, settings, written
from mim.plain import Settings, printable, read_json, refuse_special

OF_THE_LAUNCHER = ("hydra.", "hydra/", "sweep.", "resume=")


@dataclass(frozen=True)
class Record:
    """Record that a run left in its folder: its command, status and results."""

    folder: Path
    program: str
    """`train.py` or `eval.py`."""
    overrides: tuple[str, ...]
    status: str
    seed: int
    commit: str
    hardware: str
    results: Settings = field(hash=False)
    """All that its results.json says."""

    @property
    def checkpoint(self) -> str:
        """Weights that it started from or judged; empty where there are none."""
        said = settings(self.overrides).get("checkpoint", "").strip("'\"")
        if said == "null":
            return ""
        return said.removesuffix("/").removesuffix("/checkpoints/last.ckpt")

    @property
    def shared_out(self) -> bool:
        """Whether the images of a step are shared out to processes, however many there are."""
        return self.program == "eval.py" or self.results.get("images_per_step") is not None

    @property
    def command(self) -> str:
        """Command that makes such a run again."""
        return written(
            self.program,
            [given for given in self.overrides if not given.startswith(OF_THE_LAUNCHER)],
        )

    def recipe(self) -> dict[str, str]:
        """The settings that decide what came out, without the checkpoint."""
        given = recipe(self.overrides, self.shared_out)
        return {key: value for key, value in given.items() if key != "checkpoint"}

    def accuracy(self, name: str = "") -> tuple[float, tuple[float, float] | None] | None:
        """Number in per cent and its 95 % interval, of the evaluation or the last epoch of a
        training; None: there is none.

        Args:
            name: in results.json; empty for top-1.
        """
        if self.program == "eval.py":
            name = name or f"{self.results.get('evaluate', self.results.get('task'))}/top1"
            numbers = self.results
            interval = numbers.get(f"{name}_interval")
        else:
            name, numbers = name or "val/top1", self.results.get("metrics", {})
            interval = self.results.get("intervals", {}).get(name)
        value = numbers.get(name)
        if not isinstance(value, int | float):
            return None
        return 100 * value, (100 * interval[0], 100 * interval[1]) if interval else None


def find_records(folder: Path) -> list[Record]:
    """Records of all runs below a folder that ended, the newest last. Those that do not say their
    command are left out.

    Raises:
        FileNotFoundError: where there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder}; give the one that holds the runs, e.g. --runs runs"
        )
    files = sorted(folder.rglob("results.json"), key=lambda file: (file.stat().st_mtime_ns, file))
    found = (_read(file) for file in files)
    return [record for record in found if record]


def _read(file: Path) -> Record | None:
    refuse_special(file)
    try:
        results = read_json(file)
    except ValueError:  # it is being written
        return None
    if not isinstance(results, dict) or not {"program", "overrides"} <= results.keys():
        return None
    _check(results, file)
    return Record(
        folder=file.parent,
        program=results["program"],
        overrides=_overrides(results),
        status=results.get("status", "finished"),
        seed=int(results.get("seed") or 0),
        commit=results.get("commit") or "unknown",
        hardware=results.get("hardware") or "unknown hardware",
        results=results,
    )


def _overrides(results: Settings) -> tuple[str, ...]:
    """As they are called now."""
    evaluates = results["program"] == "eval.py"
    return tuple(
        moved_setting(each) if evaluates else moved_choice(each) for each in results["overrides"]
    )


def _check(results: Settings, file: Path) -> None:
    """Refuse what no run writes.

    Raises:
        ValueError: naming the file.
    """
    kinds: dict[str, type] = {
        "program": str,
        "overrides": list,
        "status": str,
        "commit": str,
        "hardware": str,
        "metrics": dict,
    }
    wrong = [
        name
        for name, kind in kinds.items()
        if not isinstance(results.get(name, kind()), kind | None)
    ]
    if results["program"] not in ("train.py", "eval.py"):
        wrong.append("program")
    if "overrides" not in wrong and not all(
        isinstance(override, str) for override in results["overrides"]
    ):
        wrong.append("overrides")
    if type(results.get("seed") or 0) is not int:
        wrong.append("seed")
    numbers = results.get("metrics") or results
    tops = [
        value
        for name, value in numbers.items()
        if name.endswith("/top1") and not isinstance(value, int | float)
    ]
    if wrong or tops:
        raise ValueError(
            f"{printable(file)} is not as a run writes it: "
            f"{', '.join(wrong) or 'an accuracy that is no number'}"
        )
