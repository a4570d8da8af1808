"""Imports of large libraries, which take a fifth less time while no garbage is looked for."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Let Python look for no garbage: what imports make stays, hundreds of thousands of objects."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count() == 0:  # else of a sweep's process, whose memory jobs share
            gc.freeze()
            gc.unfreeze()  # together: all of it is old, and not looked through at the next chance
        if collects:
            gc.enable()


def freeze_imported() -> None:
    """Leave what is there by now to the end of the process, so that no collection looks at it."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # else a library of Triton reports what is frozen as lost
