"""What to say where a disk does not take what a run writes."""

import errno
import shutil
import tempfile
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def said_of_disk(error: BaseException, run: Path | None) -> str | None:
    """A line with the remedy, or none where it is another error.

    Args:
        error: what stopped the run.
        run: its folder; null where it could not even be made.
    """
    if not isinstance(error, OSError):
        return None
    file = Path(str(error.filename)) if error.filename else None
    folder = run or file or Path()
    if error.errno in FULL:
        place = min(filter(Path.exists, (folder, Path(tempfile.gettempdir()))), key=_free)
        return (
            f"the disk of {place} is full ({_free(place) // 2**20} MiB left); free some space and "
            f"{_how(folder)}"
        )
    if (
        error.errno in CLOSED
        and file is not None
        and file.absolute().is_relative_to(folder.absolute())
    ):
        again = f" and {_how(folder)}" if _last(folder).exists() else ""
        return (
            f"{file} cannot be written ({error.strerror}); choose another place for runs, as "
            "MIM_RUNS=<folder> before the "
            f"command or hydra.run.dir=<folder>{again}"
        )
    return None


def _how(run: Path) -> str:
    return (
        f"go on with resume={_last(run)}" if _last(run).exists() else "give the same command again"
    )


def _last(run: Path) -> Path:
    return run / "checkpoints" / "last.ckpt"


def _free(place: Path) -> int:
    return shutil.disk_usage(place).free
