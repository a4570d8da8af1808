"""Contract of a logger that takes pictures, which not every logger does."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

from pytorch_lightning.loggers import Logger


@runtime_checkable
class ImageLogger(Protocol):
    """Logger that takes files of pictures."""

    def log_image(self, key: str, images: list[str], step: int | None = None) -> None:
        """Keep pictures under a name."""


def log_image(loggers: Iterable[Logger], name: str, file: Path, step: int | None = None) -> None:
    """Hand a picture to the loggers that take pictures."""
    for logger in loggers:
        if isinstance(logger, ImageLogger):
            logger.log_image(name, [str(file)], step=step)
