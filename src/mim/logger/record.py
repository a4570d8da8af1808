"""Hand a judgement to loggers: its numbers, its curves, its pictures."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pytorch_lightning.loggers import Logger

from mim.logger.image_logger import log_image
from mim.plain import Settings


def log_row(loggers: Iterable[Logger], row: Settings, folder: Path) -> None:
    """Log what an evaluation returned and drew.

    Args:
        loggers: any number.
        row: numbers; `table`, lines of words and numbers; `curves`, a list of numbers each, the
            first logged as step 1.
        folder: whose `*.png` go to the loggers that take pictures.
    """
    curves: Mapping[str, list[float]] = row.get("curves", {})
    for logger in loggers:
        for step in range(max(map(len, curves.values()), default=0)):
            here = {name: values[step] for name, values in curves.items() if step < len(values)}
            logger.log_metrics(here, step=1 + step)
        if numbers := _numbers(row):
            logger.log_metrics(numbers)
        for picture in sorted(folder.glob("*.png")):
            log_image([logger], picture.stem, picture)
        logger.finalize("success")


def _numbers(row: Settings) -> dict[str, float]:
    """Those of the row, and those of each line of its table under the line's words:
    `MAE/mean/top1`.
    """
    found = {name: value for name, value in row.items() if _is_number(value)}
    for line in row.get("table", []):
        words = [value for value in line.values() if isinstance(value, str)]
        found |= {
            "/".join([*words, name]): value for name, value in line.items() if _is_number(value)
        }
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)
