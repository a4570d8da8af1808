"""What torchrun and srun say about the processes that they start."""

import os
from datetime import datetime
from typing import NamedTuple

from torch.distributed import TCPStore

_INTERACTIVE = ("bash", "interactive")  # names of SLURM jobs in which commands are typed


class Started(NamedTuple):
    """How many processes were started."""

    devices: int
    """On each computer."""
    nodes: int
    """Computers."""
    by: str


def started() -> Started | None:
    """What started this process beside others; None where nothing did."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        return Started(int(env["LOCAL_WORLD_SIZE"]), int(env["GROUP_WORLD_SIZE"]), "torchrun")
    if "SLURM_STEP_ID" in env and env.get("SLURM_JOB_NAME") not in _INTERACTIVE:
        nodes = int(env["SLURM_STEP_NUM_NODES"])
        return Started(int(env["SLURM_STEP_NUM_TASKS"]) // nodes, nodes, "srun")
    return None


def devices(otherwise: int | str) -> int | str:
    """Processes on each computer: as many as were started."""
    found = started()
    return found.devices if found else otherwise


def nodes(otherwise: int) -> int:
    """Computers: as many as processes were started on."""
    found = started()
    return found.nodes if found else otherwise


def moment(pattern: str) -> str:
    """A name for this run, the same on all its processes, and after a restart: when it began, or which SLURM job it is.

    Args:
        pattern: of the time, as `strftime` takes it.
    """
    found, now = started(), datetime.now().strftime(pattern)
    if found is None:
        return now
    if found.by == "srun":
        return f"job_{os.environ['SLURM_JOB_ID']}_{os.environ['SLURM_STEP_ID']}"
    # torchrun keeps a table that all processes see, and that outlives those it restarts: the first one's time counts
    table = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return table.compare_set("mim/moment", "", now).decode()
