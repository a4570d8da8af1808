"""The folder that a run or a sweep writes to, which somebody may have handed over: what is written
there stays there.
"""

import os
from pathlib import Path

from mim.plain import no_link, printable, refuse_special


def check_own_folder(folder: str | Path) -> Path:
    """Make a folder, or take links out of it that lead out of it, so that nothing is written
    through one.

    Raises:
        OSError: where it cannot be made.
        ValueError: where a folder in it is such a link, or something in it is a pipe, a socket or a
            device.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"the folder {printable(folder)}, where a run would write, cannot be made "
            f"({error.strerror}); give another, "
            "paths.run=..., or another place for all of them, MIM_RUNS"
        ) from error
    inside = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            leads_out = path.is_symlink() and not path.resolve().is_relative_to(inside)
            if leads_out and path.is_dir():
                raise ValueError(
                    f"{printable(path)} is a link to {printable(path.resolve())}, where a run "
                    "would write; put a folder in its "
                    "place, or give another run folder, paths.run=..."
                )
            if leads_out:
                no_link(path)
            refuse_special(path)
    return folder
