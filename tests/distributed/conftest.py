"""Start processes as torchrun does, from the test: it holds the table that torchrun holds, and no third process is needed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from torch.distributed import TCPStore

ROOT = Path(__file__).parents[2]


class Ended(NamedTuple):
    """How one process ended."""

    code: int
    out: str
    err: str


def start(programs: Sequence[Sequence[str]], runs: Path, seconds: float = 300) -> list[Ended]:
    """Run one command line of Python a process, all in one group, and wait for them."""
    table = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))
    count = str(len(programs))
    group = {
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(table.port), "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count},
        **{
            "GROUP_RANK": "0",
            "GROUP_WORLD_SIZE": "1",
            "TORCHELASTIC_RUN_ID": "tests",
            "TORCHELASTIC_RESTART_COUNT": "0",
        },
        **{"TORCHELASTIC_MAX_RESTARTS": "0", "TORCHELASTIC_USE_AGENT_STORE": "True"},
        **{"MIM_RUNS": str(runs), "MIM_TRACEBACK": "0", "OMP_NUM_THREADS": "1"},
    }
    processes = [
        subprocess.Popen(
            [sys.executable, *program],
            cwd=ROOT,
            env=os.environ | group | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, program in enumerate(programs)
    ]
    try:
        said = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [Ended(process.returncode, *words) for process, words in zip(processes, said, strict=True)]


@pytest.fixture(scope="module")
def runs_of_ranks(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Many runs, one after another, on processes that are started once: starting Python anew takes seconds."""

    def run(processes: int, jobs: dict[str, Sequence[str]]) -> Path:
        runs = tmp_path_factory.mktemp("runs")
        lines = json.dumps([[f"name={name}", *overrides] for name, overrides in jobs.items()])
        ended = start([["tests/distributed/several.py", lines]] * processes, runs)
        assert [each.code for each in ended] == [0] * processes, "\n".join(each.err for each in ended)
        return runs

    return run
