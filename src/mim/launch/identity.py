"""What makes two command lines the same sweep, and two jobs the same job."""

import hashlib
import re
from collections.abc import Iterable

_HOW_NOT_WHAT = re.compile(r"hydra[./]|sweep\.(?!trial=)")  # a trial of a study is a job of its own


def identity(overrides: Iterable[str]) -> tuple[str, ...]:
    """The overrides that decide what comes out, without those that say how it is run."""
    return tuple(override for override in overrides if not _HOW_NOT_WHAT.match(override))


def sweep_name(name: str | None, overrides: Iterable[str]) -> str:
    """A name that is given, or one that the same command line gets again: what it sweeps over, and
    a hash of all of it.
    """
    if name:
        return str(name)
    given = identity(overrides)
    swept = [o.partition("=")[0] for o in given if re.search(r"=.*[,(]", o)]
    short = re.sub(r"[^\w-]+", "_", "-".join(swept))[:40] or "jobs"
    whole = hashlib.sha256("\n".join(given).encode()).hexdigest()[:8]
    return f"{short}_{whole}"
