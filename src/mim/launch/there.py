"""Whether weights that a command asks for are there, said before anything that takes seconds is imported."""

from collections.abc import Iterable
from pathlib import Path

ELSEWHERE = ("timm", "hf")
"""What stands before the colon of weights that are fetched."""


def refuse_missing(sources: Iterable[str | Path]) -> None:
    """Refuse weights that cannot be found.

    Args:
        sources: run folders, files, `timm:<name>` or `hf:<repository>`; `teacher:` may stand before a path.

    Raises:
        FileNotFoundError: naming the first that is not there.
    """
    for source in sources:
        kind, colon, _ = str(source).partition(":")
        path = Path(str(source).removeprefix("teacher:"))
        if not (colon and kind in ELSEWHERE) and not path.exists() and not previous_of(path).exists():
            raise no_such_weights(path)


def no_such_weights(path: Path) -> FileNotFoundError:
    """Error about a path at which there is nothing."""
    return FileNotFoundError(f"there is no {path}; give a run folder (runs/<name>/<date_time>) or a .ckpt file")


def previous_of(target: Path) -> Path:
    """Path of the old checkpoint while a folder takes its place: folders are not replaced in one go."""
    return target.with_name(f".{target.name}.previous")
