"""Put a new checkpoint in the place of an old one; each is a file, or a folder with the shares of
many processes.
"""

import shutil
from pathlib import Path

from mim.launch.there import previous_of


def partial_of(target: Path) -> Path:
    """Where a checkpoint is written until it is whole."""
    return target.with_name(f".{target.name}.partial")


def put_in_place(partial: Path, target: Path) -> None:
    """Whole now: let it take the place of the old one. Whatever happens meanwhile, one is at
    `target` or at `previous_of` it.
    """
    if target.exists() and (partial.is_dir() or target.is_dir()):
        remove(previous_of(target))
        target.rename(previous_of(target))
    partial.replace(target)
    remove(previous_of(target))


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def not_written(target: Path, error: BaseException) -> OSError:
    """What to say where a disk does not take a checkpoint: what survives."""
    full = not isinstance(error, OSError)  # torch reports a full disk as a RuntimeError
    reason = (
        f"{shutil.disk_usage(target.parent).free // 2**20} MiB are left on the disk"
        if full
        else error
    )
    kept = (
        f"the previous {target.name} is untouched"
        if target.exists()
        else "there was no earlier one"
    )
    last = target.with_name("last.ckpt")
    how = f"go on with resume={last}" if last.exists() else "give the same command again"
    return OSError(f"could not write {target}: {reason}; {kept}. Free some space and {how}")
