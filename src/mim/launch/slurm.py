"""Ask SLURM to run a job again that it stops for its time limit."""

import os
import subprocess
import sys

from mim.launch.errors import Interrupted
from mim.launch.processes import is_first


def requeue(stop: Interrupted) -> None:
    """After SIGUSR1 (`sbatch --signal=USR1@120`), once everything is saved: `scontrol requeue`,
    from one process, once.

    Not after SIGTERM: there SLURM requeues by itself (preemption) or must not (scancel). Not where
    MIM_REQUEUE=0: the jobs of a sweep leave it to the sweep.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if (
        job is None
        or not is_first()
        or stop.cause != "SIGUSR1"
        or os.environ.get("MIM_REQUEUE") == "0"
    ):
        return
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    _ask(job)


def _ask(job: str) -> None:
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True)
        print(f"SLURM will run job {job} again", flush=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
        reason = " ".join(str(said or error).split())
        print(
            f"SLURM did not take job {job} back ({reason}); submit it again",
            file=sys.stderr,
            flush=True,
        )
