"""Stamp of pictures: it changes where they change, and nothing is decoded for it."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def file_stamp(path: str | Path) -> str:
    """Path, bytes and time of a file; the path alone where it cannot be had."""
    try:
        found = os.stat(path)
    except OSError:
        return f"{path}"
    return f"{path} {found.st_size} {found.st_mtime_ns}"


def digest_of(parts: Iterable[str | bytes]) -> str:
    """The same for the same parts."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        content = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        found.update(len(content).to_bytes(8) + content)
    return found.hexdigest()
