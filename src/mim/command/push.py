"""`python -m mim push`: write the folder of a repository, and push it."""

import argparse
import os
from datetime import datetime
from pathlib import Path

from mim.hub.folder import records_of, write_folder
from mim.hub.push import NO_LICENCE, check_names, push
from mim.plain import printable
from mim.weights.read import read_weights


def run(given: argparse.Namespace, configs: Path) -> None:
    """Write, push, and say how to load what was pushed."""
    licence = given.licence or _asked_for()
    check_names(given.repository, licence)  # one that was asked for, too
    runs = given.runs or Path(os.environ.get("MIM_RUNS", "runs"))
    name = given.repository.replace("/", "_")
    out = given.out or runs / "pushed" / f"{name}_{datetime.now():%Y-%m-%d_%H-%M-%S}"
    weights = read_weights(given.checkpoint)
    weights = weights._replace(heads=given.heads or weights.heads)
    print(f"{'read':<14}{printable(weights.origin, 10_000)}: {len(weights.tensors)} tensors")
    use = write_folder(
        weights, out, given.to, given.repository, licence, records_of(given.checkpoint, runs)
    )
    size = sum(file.stat().st_size for file in out.iterdir())
    print(
        f"{'wrote':<14}{printable(out)}: {', '.join(sorted(file.name for file in out.iterdir()))}, "
        f"{size:,} bytes"
    )
    if given.dry_run:
        print(
            f"{'not pushed':<14}--dry-run; read {printable(out / 'README.md')}, then give the "
            "command without it"
        )
        return
    print(f"{'pushed':<14}{push(out, given.repository, given.private)}")
    print(f"{'load with':<14}{use}")


def _asked_for() -> str:
    """Licence, asked for.

    Raises:
        ValueError: where nothing is answered.
    """
    answer = input("licence of the weights (apache-2.0, mit, cc-by-nc-4.0, ...): ")
    if not answer.strip():
        raise ValueError(NO_LICENCE)
    return answer.strip()
