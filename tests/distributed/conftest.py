"""Start processes as torchrun does, from the test: it holds the table that torchrun holds, and no
third process is needed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.distributed import TCPStore

from mim.checkpoint.atomic import AtomicCheckpointIO
from tests.distributed.commands import OFTEN, ON_ONE, ON_TWO, SHORT, TOKENIZERS
from tests.stored import Golden

ROOT = Path(__file__).parents[2]


class Ended(NamedTuple):
    """How one process ended."""

    code: int
    out: str
    err: str


def start(programs: Sequence[Sequence[str]], runs: Path, seconds: float = 900) -> list[Ended]:
    """Run one command line of Python a process, all in one group, and wait for them."""
    table = TCPStore(
        "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60)
    )
    count = str(len(programs))
    group = {
        **{
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(table.port),
            "WORLD_SIZE": count,
            "LOCAL_WORLD_SIZE": count,
        },
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
    return [
        Ended(process.returncode, *words) for process, words in zip(processes, said, strict=True)
    ]


def one_after_another(processes: int, jobs: dict[str, Sequence[str]], runs: Path) -> None:
    """Many runs, one after another, on processes that are started once: starting Python anew takes
    seconds.
    """
    lines = json.dumps([[f"name={name}", *overrides] for name, overrides in jobs.items()])
    ended = start([["tests/distributed/several.py", lines]] * processes, runs)
    assert [each.code for each in ended] == [0] * processes, "\n".join(each.err for each in ended)


class Run(NamedTuple):
    """What a run left."""

    folder: Path

    @property
    def losses(self) -> dict[int, float]:
        header, *lines = (
            line.split(",") for line in (self.folder / "metrics.csv").read_text().splitlines()
        )
        at, step = header.index("train/loss"), header.index("step")
        return {int(line[step]): float(line[at]) for line in lines if line[at]}

    @property
    def weights(self) -> dict[str, Tensor]:
        return AtomicCheckpointIO().load_checkpoint(self.folder / "checkpoints" / "last.ckpt")[
            "state_dict"
        ]

    @property
    def metrics(self) -> dict[str, float]:
        return json.loads((self.folder / "results.json").read_text())["metrics"]

    def masks(self, rank: int) -> list[tuple[Tensor, Tensor]]:
        return torch.load(self.folder / f"masks_{rank}.pt")


@pytest.fixture(scope="session")
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Run]:
    """Each method on one process, and split over two: `mae_one`, `mae_ddp`, ... Some go on from
    what another saved.
    """
    all_of_them = any(item.get_closest_marker("slow") for item in request.session.items)
    runs = tmp_path_factory.mktemp("runs")
    for name in TOKENIZERS:
        torch.save(Golden(name).under("sd."), runs / f"{name}.pt")
    made: list[str] = []
    for processes, jobs in ((2, ON_TWO), (1, ON_ONE)):
        wanted = {name: [*SHORT, *jobs[name]] for name in jobs if all_of_them or name in OFTEN}
        one_after_another(processes, wanted, runs)
        made += wanted
    return {name: Run(*runs.glob(f"{name}/*")) for name in made}  # one run has one folder


@pytest.fixture
def apart() -> Callable[[dict[str, Tensor], dict[str, Tensor]], float]:
    """The largest difference of two models, but for key biases: their gradient is rounding noise,
    which Adam turns into steps.
    """

    def measure(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
        assert ours.keys() == theirs.keys()
        largest = 0.0
        for name, weight in ours.items():
            pairs = [(weight, theirs[name])]
            if name.endswith("qkv.bias"):
                query, _, value = zip(weight.chunk(3), theirs[name].chunk(3), strict=True)
                pairs = [query, value]
            largest = max(largest, *((mine - other).abs().max().item() for mine, other in pairs))
        return largest

    return measure
