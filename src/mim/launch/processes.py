"""What torchrun and srun say about the processes that they start."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

_INTERACTIVE = ("bash", "interactive")  # names of SLURM jobs in which commands are typed
_DRIVERS = ("nvidia*", "nvhost*", "nvgpu*", "kfd", "dxg")  # in /dev, where a GPU can be used


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


def is_first() -> bool:
    """Whether this process is the one that speaks for all: what every process knows is said
    once.
    """
    env, found = os.environ, started()
    if found is not None:
        return env["SLURM_PROCID" if found.by == "srun" else "RANK"] == "0"
    # by hand; of Lightning's processes
    numbers = ("RANK",) if "RANK" in env else ("NODE_RANK", "LOCAL_RANK")
    return all(env.get(name, "0") == "0" for name in numbers)


def devices(otherwise: int | str) -> int | str:
    """Processes on each computer: as many as were started."""
    found = started()
    return found.devices if found else otherwise


def nodes(otherwise: int) -> int:
    """Computers: as many as processes were started on."""
    found = started()
    return found.nodes if found else otherwise


def check_nodes(nodes: int) -> None:
    """Refuse several computers where nobody starts processes on the others: those that are here
    would wait for ever.

    Raises:
        ValueError: saying what starts them.
    """
    # by hand, LSF, MPI
    by_others = (
        *("MASTER_ADDR", "NODE_RANK", "LSB_DJOB_RANKFILE"),
        *("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"),
    )
    if nodes > 1 and started() is None and not any(name in os.environ for name in by_others):
        raise ValueError(
            f"trainer.num_nodes={nodes}, and nothing has started processes on other computers, "
            "which would be waited for for ever; "
            "leave it out, and start the command with srun, or with torchrun --nnodes on each of "
            "them"
        )


def run_stamp(pattern: str) -> str:
    """A name for this run, the same on all its processes, and after a restart: when it began, or
    which SLURM job it is.

    Args:
        pattern: of the time, as `strftime` takes it.
    """
    found, now = started(), datetime.now().strftime(pattern)
    if found is None:
        return now
    if found.by == "srun":
        return f"job_{os.environ['SLURM_JOB_ID']}_{os.environ['SLURM_STEP_ID']}"
    from torch.distributed import TCPStore

    # torchrun keeps a table that all processes see, and that outlives those it restarts: the first
    # one's time counts
    table = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return table.compare_set("mim/run_stamp", "", now).decode()


def has_gpu_driver() -> bool:
    """Whether there is a driver of a GPU; on other systems than Linux nobody can tell, and there
    may be.
    """
    return sys.platform != "linux" or any(
        True for driver in _DRIVERS for _ in Path("/dev").glob(driver)
    )


def has_gpu() -> bool:
    """Whether torch can use a GPU by CUDA or ROCm; it is imported only where there may be a driver
    of one.
    """
    if not has_gpu_driver():
        return False
    import torch

    return torch.cuda.is_available()


def count_devices(accelerator: str, devices: object) -> int:
    """How many processes a trainer has on each computer.

    Args:
        accelerator: `gpu`, `cpu` or `auto`.
        devices: a number, a list of GPUs, or `auto` or -1: all GPUs, or one process on the CPU.

    Raises:
        ValueError: where there are not so many GPUs, or none is asked for.
    """
    there, has_mps = 0, False
    if has_gpu_driver():
        import torch  # it takes seconds

        there, has_mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and there > 0)
    named = devices.split(",") if isinstance(devices, str) and "," in devices else devices
    every = named if isinstance(named, Sequence) and not isinstance(named, str) else [named]
    listed = every is named
    numbers = [str(name) for name in every if str(name)]
    if not all(number.removeprefix("-").isdecimal() for number in numbers if number != "auto"):
        raise ValueError(
            f"trainer.devices={devices} is no number of devices; e.g. trainer.devices=1, or "
            "trainer.devices=auto"
        )
    wanted = (
        max(1, there)
        if str(devices) in ("auto", "-1")
        else len(numbers)
        if listed
        else int(numbers[0])
    )
    if wanted < 1:
        raise ValueError(
            f"trainer.devices={devices} leaves nobody to train; needs 1 at least, or "
            "trainer.devices=auto"
        )
    if listed and not on_gpu and not has_mps:
        raise ValueError(
            f"trainer.devices={devices} names GPUs, and this trains on a CPU, which has processes: "
            f"trainer.devices={wanted}"
        )
    if on_gpu and wanted > there and not has_mps:
        fix = (
            f"trainer.devices may be 1 to {there}"
            if there
            else "use trainer=cpu, or add trainer.accelerator=cpu"
        )
        raise ValueError(
            f"trainer.devices={devices} asks for {wanted} GPU(s), and this computer has {there}; "
            f"{fix}"
        )
    return wanted if on_gpu or str(devices) not in ("auto", "-1") else 1


class Portion(NamedTuple):
    """How a process takes its share of an optimiser step."""

    batch_size: int
    """Images at a time."""
    accumulated: int
    """Batches whose gradients make one step."""


def portion_of_step(
    images: int | None, processes: int, at_most: int, accumulated: int | None, multiple: int = 1
) -> Portion:
    """Batch size and accumulated batches of each process, so that together they take the images of
    a step.

    Args:
        images: of a step, over all processes; None for whatever `at_most` images a process make.
        processes: that share them.
        at_most: images that a process takes at a time.
        accumulated: batches of a step; None for as few as `at_most` allows.
        multiple: of what number a batch is to be, where it can: 2 where images are mixed in pairs.

    Raises:
        ValueError: where they cannot be shared out equally.
    """
    if images is None:
        return Portion(at_most, accumulated or 1)
    if accumulated is not None:
        return Portion(share_of_step(images, processes, accumulated), accumulated)
    share = share_of_step(images, processes, 1)
    fit = [
        turns for turns in range(1, share + 1) if share % turns == 0 and share // turns <= at_most
    ]
    even = [turns for turns in fit if share // turns % multiple == 0]
    turns = (even or fit)[0]
    return Portion(share // turns, turns)


def share_of_step(images: int, processes: int, accumulated: int) -> int:
    """Images of a step that each process takes at a time.

    Raises:
        ValueError: where they cannot be shared out equally.
    """
    parts = processes * accumulated
    share, rest = divmod(images, parts)
    if rest or not share:
        near = sorted({max(1, share) * parts, (max(1, share) + 1) * parts})
        raise ValueError(
            f"images_per_step={images} cannot be shared out equally to {processes} process(es) x "
            f"{accumulated} accumulated "
            f"batch(es); the nearest that can: {' and '.join(map(str, near))}"
        )
    return share
