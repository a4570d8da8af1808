"""Processor cores that this process may use."""

import os


def available_cores() -> int:
    """Cores of this process, 1 at least: macOS and Windows cannot say which, so there it is all of the computer."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
