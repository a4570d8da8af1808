"""What made a number: commit, hardware, versions and command, as `results.json` keeps them."""

import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import torch

from mim.cores import available_cores
from mim.plain import Settings

PACKAGES = ("torch", "torchvision", "timm", "pytorch-lightning", "hydra-core", "numpy")


def provenance(
    program: str, overrides: Iterable[str], seed: int, device: torch.device, processes: int
) -> Settings:
    """Program, experiment, overrides, seed, commit, hardware and versions of a run.

    Args:
        program: `train.py` or `eval.py`.
        overrides: what the command line changed.
        seed: of the run.
        device: kind of device that it ran on.
        processes: that shared the work.
    """
    given = list(overrides)
    chosen = [
        override.partition("=")[2] for override in given if override.startswith("experiment=")
    ]
    return {
        "program": program,
        "experiment": chosen[-1] if chosen else None,
        "overrides": given,
        "seed": seed,
        "commit": commit(),
        "hardware": hardware(device, processes),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | packages


def commit() -> str | None:
    """The commit of the code, marked where there are uncommitted changes.

    None outside of a repository, and where the code is in one that is not its own: installed in the
    `.venv` of a project.
    """
    here = Path(__file__)
    try:
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *command: str) -> str:
    return subprocess.run(
        ["git", *command], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def hardware(device: torch.device, processes: int) -> str:
    """Devices that a run used, e.g. `8 x NVIDIA H100 80GB HBM3` or `2 cores of AMD EPYC 7B13`."""
    if device.type == "cuda":
        return f"{processes} x {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return f"{processes} x {device.type}"
    return f"{available_cores()} cores of {_processor()}"


def _processor() -> str:
    try:
        name = re.search(
            r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE
        )
    except OSError:
        name = None
    return name[1].strip() if name else platform.processor() or platform.machine()
