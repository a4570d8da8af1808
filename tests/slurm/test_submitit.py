"""A sweep by submitit, with the command of docs/sweeps.md: each job of it is a task of an array,
and has several processes.
"""

import json
import re
import shlex
import subprocess

from tests.slurm.job import ROOT
from tests.slurm.test_on_a_cluster import SHORT, TINY


def command():
    """The command of the page, for two processes a job and two seeds."""
    page = (ROOT / "docs" / "sweeps.md").read_text().replace("\\\n", " ")
    (shown,) = re.findall(
        r"^python train\.py (-m hydra/launcher=submitit_slurm .*)$", page, flags=re.MULTILINE
    )
    small = shown.replace("tasks_per_node=8", "tasks_per_node=2").replace("devices=8", "devices=2")
    return [
        "python",
        "train.py",
        *shlex.split(small.replace("seed=0,1,2", "seed=0,1")),
        *TINY,
        SHORT,
        "sweep.name=seeds",
    ]


def test_jobs_of_a_sweep_are_tasks_of_an_array(cluster, tmp_path):
    environment = cluster.environment | {
        "MIM_RUNS": str(tmp_path),
        "OMP_NUM_THREADS": "1",
        "MIM_TRACEBACK": "0",
    }
    ended = subprocess.run(
        command(), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )
    assert ended.returncode == 0, ended.stderr
    for seed in (0, 1):
        results = json.loads(
            (tmp_path / "sweeps" / "seeds" / str(seed) / "results.json").read_text()
        )
        assert (results["status"], results["seed"], results["steps"]) == ("finished", seed, 20)
