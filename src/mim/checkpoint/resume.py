"""Find the checkpoint that a run continues from, and refuse one that it cannot continue from."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from mim.checkpoint.changes import Change, changed_settings, refuse_changes
from mim.checkpoint.sharded import is_sharded, read_rest, shapes
from mim.checkpoint.sound import UNREADABLE, check_archive
from mim.checkpoint.training_state import check_training
from mim.launch.there import LAST, no_such_weights, no_weights_in, previous_of
from mim.moved import current
from mim.plain import Settings, plain


def continued(resume: str | None, run: str | Path) -> str | Path | None:
    """What `resume=` asks for: a path as it is; for `auto` the run's own folder if an earlier
    attempt left a checkpoint there.
    """
    if resume != "auto":
        return resume
    last = Path(run) / "checkpoints" / "last.ckpt"
    return run if last.exists() or previous_of(last).exists() else None


def checkpoint_file(path: str | Path) -> Path:
    """A run folder, or a checkpoint -> the checkpoint: a file, or the folder that many processes
    wrote.

    Raises:
        FileNotFoundError: where there is none.
    """
    path = Path(path)
    target = path if is_sharded(path) or not path.is_dir() else path / LAST
    # the previous one, if the process was lost while the other took its place
    for candidate in (target, previous_of(target)):
        if candidate.exists():
            return candidate
    if path.is_dir():
        raise no_weights_in(path)
    raise no_such_weights(path)


class Resumable(NamedTuple):
    """A checkpoint that a training goes on from."""

    file: Path
    """Or a folder."""
    changes: list[Change]
    """Settings that are not what they were."""


def resumable(path: str | Path, module: nn.Module, config: Settings) -> Resumable:
    """Check that a module can continue from a checkpoint.

    Args:
        path: a run folder or a checkpoint.
        module: what is trained.
        config: of the run that goes on, resolved.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it is no checkpoint of a training, one of another architecture, or one
            that learns something else.
    """
    file = checkpoint_file(path)
    theirs, their_config = _read(file)
    found = (
        []
        if their_config is None
        else changed_settings(current(plain(their_config, str(file))), config)
    )
    refuse_changes(found, file)
    ours = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    for name in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(name, "absent"), theirs.get(name, "absent")
        if mine != other:
            raise ValueError(
                f"{file} is of another architecture: {name} is {other} there and {mine} here; "
                "resume with the groups that the run was started with (its config.yaml)"
            )
    return Resumable(file, found)


def _read(file: Path) -> tuple[dict[str, tuple[int, ...]], object]:
    """Names and shapes of the weights of a training, and its config."""
    if is_sharded(file):
        rest = read_rest(file)
        check_training(rest, str(file))
        return shapes(file), rest.get("config")
    check_archive(file)
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except UNREADABLE as error:
        raise ValueError(
            f"{file} is not a checkpoint, or is damaged ({type(error).__name__}); give one that a "
            "run wrote"
        ) from error
    check_training(checkpoint, str(file))
    return {
        name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()
    }, checkpoint.get("config")
