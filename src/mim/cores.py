"""Processor cores that this process may use."""

import os
import sys


def available_cores() -> int:
    """Cores of this process, 1 at least: macOS and Windows cannot say which, so there it is all of
    the computer.
    """
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
