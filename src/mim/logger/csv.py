"""Numbers in `metrics.csv`, one file for a run however often it was stopped."""

import csv
from collections.abc import Mapping
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from mim.plain import no_link
from mim.ranges import Count

Cell = str | float | int | None
"""What stands in a column."""


class CSV(CSVLogger):
    """Lightning's logger, which would delete what an earlier attempt wrote into the same folder.

    Args:
        save_dir: folder of `metrics.csv`.
        flush_logs_every_n_steps: how often it is written.
    """

    def __init__(self, save_dir: str, flush_logs_every_n_steps: Count = 100):
        super().__init__(
            save_dir, name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps
        )

    @property
    @rank_zero_experiment
    def experiment(self) -> "_Writer":
        """The file, opened when it is first asked for."""
        if not isinstance(self._experiment, _Writer):
            self._experiment = _Writer(self.log_dir)
        return self._experiment

    @rank_zero_only
    def begin_at(self, step: int, before: Mapping[str, float], said: Mapping[str, float]) -> None:
        """Let the file hold what belongs to the steps that are done, once, whatever an earlier
        attempt wrote.

        The last of them is written anew: what an attempt said at the end of its epoch is said again
        when that end is done again, and who was killed may not have said anything.

        Args:
            step: the first that is to be taken.
            before: what was measured before the first of all.
            said: what the step before this one said.
        """
        first = [{"step": 0, "epoch": 0, **before}] if before else []
        last = [{"step": step - 1, **said}] if said else []
        self.experiment.begin(step - 1, first, last)


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

    def begin(self, end: int, first: list[dict[str, Cell]], last: list[dict[str, Cell]]) -> None:
        """Keep the rows of the steps before `end`, between others that may have been among them."""
        read = self._read()
        kept = [row for row in read if int(str(row["step"])) < end and not _is_one_of(row, first)]
        last = last if read else []  # a new file begins with what is to come
        self.metrics_keys = sorted({*self.metrics_keys}.union(*first, *last))
        if self.metrics_keys:
            self._write([*first, *kept, *last])

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """As Lightning does, but a process that is killed meanwhile leaves the file as it was."""
        self._write(self._read())

    def _read(self) -> list[dict[str, Cell]]:
        """The rows; without the last, if whoever wrote it was killed before its end."""
        file = Path(self.metrics_file_path)
        if not file.exists():
            return []
        with file.open(newline="") as stream:
            lines = stream.readlines()
        whole = [line for line in lines if line.endswith("\n")]
        return [row for row in csv.DictReader(whole) if (row["step"] or "").isdigit()]

    def _write(self, rows: list[dict[str, Cell]]) -> None:
        file = Path(self.metrics_file_path)
        partial = no_link(file.with_name(f".{file.name}.partial"))
        with partial.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, self.metrics_keys, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(file)


def _is_one_of(row: Mapping[str, Cell], others: list[dict[str, Cell]]) -> bool:
    """Whether a row has values in the columns of another alone."""
    return any({name for name, value in row.items() if value} <= other.keys() for other in others)
