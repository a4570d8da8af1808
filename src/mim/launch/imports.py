"""Imports of large libraries, which take a fifth less time while no garbage is looked for."""

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
        if collects:
            gc.enable()
