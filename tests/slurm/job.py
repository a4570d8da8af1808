"""A job that was submitted, and what its run has left so far."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from tests.slurm.cluster import Cluster, wait_for

ROOT = Path(__file__).parents[2]
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
PAGE = ROOT / "docs" / "many_processes.md"


def script(name: str) -> str:
    """A script of the page, by the name of its job."""
    blocks = re.findall(r"```\n(#!/bin/bash\n.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return next(block for block in blocks if f"--job-name={name} " in block)


class Job(NamedTuple):
    """A job, or a task of an array."""

    cluster: Cluster
    number: str
    """As SLURM counts, `7` or `7_1`."""
    runs: Path
    """MIM_RUNS of the job."""

    @property
    def known(self) -> dict[str, str]:
        """What SLURM says of it: JobState, Restarts, ExitCode, ..."""
        return self.cluster.job(self.number)

    @property
    def said(self) -> list[str]:
        """Lines of its output, of all attempts."""
        return Path(self.known["StdOut"]).read_text().splitlines()

    @property
    def folder(self) -> Path:
        """Folder of its run, the only one."""
        (folder,) = self.runs.glob(f"*/job_{self.known['JobId']}_*")
        return folder

    @property
    def steps(self) -> list[int]:
        """Steps that are in metrics.csv, one a row."""
        if not (found := list(self.runs.glob(f"*/job_{self.known['JobId']}_*/metrics.csv"))):
            return []
        header, *rows = (line.split(",") for line in found[0].read_text().splitlines())
        return [int(row[header.index("step")]) for row in rows if row[header.index("train/loss")]]

    @property
    def results(self) -> dict[str, object]:
        return json.loads((self.folder / "results.json").read_text())

    def task(self, number: int) -> "Job":
        """A task of this array."""
        return self._replace(number=f"{self.number}_{number}")

    def wait(self, *states: str) -> None:
        """Until SLURM says that its state is one of some; no longer than it can still become so."""

        def reached() -> bool:
            state = self.known["JobState"]
            assert state in states or state not in ENDED, (
                f"job {self.number} is {state}:\n" + "\n".join(self.said)
            )
            return state in states

        wait_for(reached, f"job {self.number} to be {' or '.join(states)}")

    def wait_for_steps(self, count: int) -> None:
        """Until so many steps are written down."""

        def written() -> bool:
            there, state = len(self.steps) >= count, self.known["JobState"]
            assert there or state not in ENDED, f"job {self.number} is {state}:\n" + "\n".join(
                self.said
            )
            return there

        wait_for(written, f"{count} steps of job {self.number}")

    def leave(self, seconds: int) -> None:
        """Shorten its time limit, so that at most so many seconds are left of it."""
        hours, minutes, now = (int(part) for part in self.known["RunTime"].split(":"))
        limit = (hours * 3600 + minutes * 60 + now + seconds) // 60
        self.cluster("scontrol", "update", f"JobId={self.number}", f"TimeLimit={limit}")
