"""Numbers in `metrics.csv`, one file for a run however often it was stopped."""

import csv
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from mim.plain import no_link


class CSV(CSVLogger):
    """Lightning's logger, which would delete what an earlier attempt wrote into the same folder.

    Args:
        save_dir: folder of `metrics.csv`.
        flush_logs_every_n_steps: how often it is written.
    """

    def __init__(self, save_dir: str, flush_logs_every_n_steps: int = 100):
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps)

    @property
    @rank_zero_experiment
    def experiment(self) -> "_Writer":
        """The file, opened when it is first asked for."""
        if not isinstance(self._experiment, _Writer):
            self._experiment = _Writer(self.log_dir)
        return self._experiment

    @rank_zero_only
    def begin_at(self, step: int, said: dict[str, Any]) -> None:
        """Forget what an earlier attempt said about this step and those after it: they are taken again.

        Args:
            step: the first that is to be taken.
            said: what belongs to the one before it. It is written if that attempt ended before it could.
        """
        last = self.experiment.keep_before(step)
        if said and last is not None and last < step - 1:
            self.log_metrics(said, step - 1)
            self.save()


class _Writer(ExperimentWriter):
    """Appends to the file that is there; brings back its folder if somebody deleted it."""

    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        if file.exists():
            with file.open(newline="") as stream:
                self.metrics_keys = next(csv.reader(stream), [])

    def save(self) -> None:
        Path(self.log_dir).mkdir(parents=True, exist_ok=True)
        super().save()

    def keep_before(self, step: int) -> int | None:
        """Drop the rows from a step on; the last step that is left, or None for none."""
        file = Path(self.metrics_file_path)
        if not file.exists():
            return None
        with file.open(newline="") as stream:
            read: list[dict[str, Any]] = list(csv.DictReader(stream))
        rows = [
            row for row in read if (row["step"] or "").isdigit() and int(row["step"]) < step
        ]  # the last may be torn
        partial = no_link(file.with_name(f".{file.name}.partial"))
        with partial.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(file)
        return max((int(row["step"]) for row in rows), default=None)
