"""Find the checkpoint that a run continues from, and refuse one that it cannot continue from."""

import pickle
from pathlib import Path

import torch
from torch import nn


def checkpoint_file(path: str | Path) -> Path:
    """A run folder or a file -> the checkpoint file.

    Raises:
        FileNotFoundError: where there is none.
    """
    path = Path(path)
    if path.is_dir():
        file = path / "checkpoints" / "last.ckpt"
        if not file.exists():
            raise FileNotFoundError(
                f"{path} holds no checkpoints/last.ckpt; give a run folder that has one, or a .ckpt file"
            )
        return file
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}; give a run folder (runs/<name>/<date_time>) or a .ckpt file")
    return path


def resumable(path: str | Path, module: nn.Module) -> Path:
    """Check that a module can continue from a checkpoint, and return its file.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it is no checkpoint of a training, or one of another architecture.
    """
    file = checkpoint_file(path)
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"{file} is not a checkpoint, or is damaged ({type(error).__name__}); give one that a run wrote"
        ) from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "loops", "optimizer_states"} <= checkpoint.keys():
        raise ValueError(f"{file} holds weights but no training to continue; give checkpoints/last.ckpt of a run")
    ours, theirs = module.state_dict(), checkpoint["state_dict"]
    for name in sorted(ours.keys() | theirs.keys()):
        mine, other = (tuple(s[name].shape) if name in s else "absent" for s in (ours, theirs))
        if mine != other:
            raise ValueError(
                f"{file} is of another architecture: {name} is {other} there and {mine} here; "
                "resume with the groups that the run was started with (its config.yaml)"
            )
    return file
