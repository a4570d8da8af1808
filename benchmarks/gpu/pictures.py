"""Pictures that a part is given: a folder, or a tar file of it, read without unpacking; and how
long a part has been running.
"""

import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path


def jpegs(data: Path | None, name: str) -> Iterator[tuple[str, bytes]]:
    """Files of `<data>/<name>/`, `<name>.tar` or `<name>.tar.xz`: path below the folder, such as
    `train/dog/1.jpg`, and content.

    Raises:
        FileNotFoundError: where none of them is there.
    """
    sources = [] if data is None else [data / name, data / f"{name}.tar", data / f"{name}.tar.xz"]
    source = next((path for path in sources if path.exists()), None)
    if source is None:
        raise FileNotFoundError(
            f"--data={data} holds no {name}/, {name}.tar or {name}.tar.xz; put one of them there"
        )
    if source.is_dir():
        for path in sorted(source.rglob("*.jpg")):
            yield path.relative_to(source).as_posix(), path.read_bytes()
        return
    with tarfile.open(source) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith(".jpg") else None
            if file is not None:
                yield member.name.removeprefix("./").removeprefix(f"{name}/"), file.read()


def _before() -> float:
    """Seconds from the start of this process until now, by the kernel's clock where it makes sense;
    else what it has worked.
    """
    worked = time.process_time()
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        passed = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return worked
    return passed if worked <= passed < 120 else worked


_BEFORE, _NOW = _before(), time.monotonic()


def age() -> float:
    """Seconds since this process began, imports included."""
    return _BEFORE + time.monotonic() - _NOW
