"""Find the checkpoint that a run continues from, and refuse one that it cannot continue from."""

import pickle
from pathlib import Path

import torch
from torch import nn

from mim.checkpoint.sharded import is_sharded, shapes
from mim.checkpoint.sound import check_archive
from mim.checkpoint.swap import previous_of


def continued(resume: str | None, run: str | Path) -> str | Path | None:
    """What `resume=` asks for: a path as it is; for `auto` the run's own folder if an earlier attempt left a checkpoint there."""
    if resume != "auto":
        return resume
    last = Path(run) / "checkpoints" / "last.ckpt"
    return run if last.exists() or previous_of(last).exists() else None


def checkpoint_file(path: str | Path) -> Path:
    """A run folder, or a checkpoint -> the checkpoint: a file, or the folder that many processes wrote.

    Raises:
        FileNotFoundError: where there is none.
    """
    path = Path(path)
    target = path if is_sharded(path) or not path.is_dir() else path / "checkpoints" / "last.ckpt"
    # the previous one, if the process was lost while the other took its place
    for candidate in (target, previous_of(target)):
        if candidate.exists():
            return candidate
    if path.is_dir():
        raise FileNotFoundError(
            f"{path} holds no checkpoints/last.ckpt; give a run folder that has one, or a .ckpt file"
        )
    raise FileNotFoundError(f"there is no {path}; give a run folder (runs/<name>/<date_time>) or a .ckpt file")


def resumable(path: str | Path, module: nn.Module) -> Path:
    """Check that a module can continue from a checkpoint, and return its file or folder.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it is no checkpoint of a training, or one of another architecture.
    """
    file = checkpoint_file(path)
    ours, theirs = {name: tuple(value.shape) for name, value in module.state_dict().items()}, _shapes(file)
    for name in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(name, "absent"), theirs.get(name, "absent")
        if mine != other:
            raise ValueError(
                f"{file} is of another architecture: {name} is {other} there and {mine} here; "
                "resume with the groups that the run was started with (its config.yaml)"
            )
    return file


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of a training."""
    if is_sharded(file):
        return shapes(file)
    check_archive(file)
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"{file} is not a checkpoint, or is damaged ({type(error).__name__}); give one that a run wrote"
        ) from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "loops", "optimizer_states"} <= checkpoint.keys():
        raise ValueError(f"{file} holds weights but no training to continue; give checkpoints/last.ckpt of a run")
    return {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()}
