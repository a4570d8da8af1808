"""Checkpoints of models that are cut over processes: a folder in which each writes its share
(torch.distributed.checkpoint).

`.metadata` says which tensor lies where, and `rest.pt` holds what is no tensor of the training: it
is the same on every process. Numbers of processes that read and write may differ; one process may
read all.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException, FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

from mim.checkpoint.optimizer_state import by_number
from mim.checkpoint.shard_metadata import read_metadata
from mim.checkpoint.sound import UNREADABLE, check_archive
from mim.checkpoint.swap import not_written, partial_of, put_in_place, remove
from mim.checkpoint.training_state import check_training
from mim.part import Saved

REST = "rest.pt"


def is_sharded(path: str | os.PathLike) -> bool:
    """Whether a path is such a folder."""
    return (Path(path) / ".metadata").is_file()


def write_sharded(tensors: Saved, rest: Saved, target: Path) -> None:
    """Write a checkpoint, all processes together: beside the target, then in its place.

    Args:
        tensors: in dictionaries, as deep as you like; shares of tensors, or the same tensors on all
            processes.
        rest: plain values, and tensors that are the same on all processes.
        target: the folder.

    Raises:
        OSError: on every process, where one cannot write; says what survives.
    """
    partial = partial_of(target)

    def begin() -> None:
        remove(partial)
        partial.mkdir(parents=True)
        with (partial / REST).open("wb") as file:
            torch.save(rest, file)
            file.flush()
            os.fsync(file.fileno())

    _on_one(begin, target)
    try:
        dcp.save(tensors, storage_writer=FileSystemWriter(partial, single_file_per_rank=True))
    except CheckpointException as error:
        _on_one(lambda: remove(partial), target)
        raise not_written(target, next(iter(error.failures.values()))[0]) from error
    _on_one(lambda: put_in_place(partial, target), target)


def _on_one(act: Callable[[], object], target: Path) -> None:
    """Act on the first process; all wait for it, and fail where it fails."""
    outcome: list[OSError | None] = [None]
    if dist.get_rank() == 0:
        try:
            act()
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            remove(partial_of(target))
            outcome = [not_written(target, error)]
    dist.broadcast_object_list(outcome)
    if outcome[0] is not None:
        raise outcome[0]


def read_shares(tensors: Saved, source: str | os.PathLike) -> None:
    """Fill tensors, or shares of them, from a checkpoint; all processes together.

    Raises:
        ValueError: where it is damaged, or lacks one of them.
    """
    _load(tensors, source, no_dist=False)


def _load(tensors: Saved, source: str | os.PathLike, no_dist: bool) -> None:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=".*torch.distributed is disabled, unavailable or uninitialized.*"
            )
            dcp.load(tensors, storage_reader=_Reader(source), no_dist=no_dist)
    except CheckpointException as failed:
        error = next(iter(failed.failures.values()))[0]
        raise ValueError(
            f"{source} is damaged or incomplete ({' '.join(str(error).split())}); copy the folder "
            "again"
        ) from error


def read_rest(source: str | os.PathLike) -> Saved:
    """What is no tensor of the training.

    Raises:
        ValueError: where the file is missing or damaged.
    """
    file = Path(source) / REST
    check_archive(file)
    try:
        rest = torch.load(file, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise ValueError(
            f"{file} is missing, cut off or damaged ({type(error).__name__}); copy the folder again"
        ) from error
    if not isinstance(rest, dict):
        raise ValueError(
            f"{file} holds a {type(rest).__name__}, which no run wrote; copy the folder again"
        )
    return rest


def shapes(source: str | os.PathLike) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights, without reading them."""
    metadata = _Reader(source).read_metadata()
    return {
        path[1]: tuple(_tensor(metadata, key).size)
        for key, path in metadata.planner_data.items()
        if path[0] == "state_dict"
    }


def stepped(source: str | os.PathLike, optimizer: int) -> set[str]:
    """Names of the parameters that an optimiser, by its number, has stepped: it keeps nothing of
    others, such as a last layer that is frozen in the first epochs.
    """
    paths = _Reader(source).read_metadata().planner_data.values()
    return {path[1] for path in paths if path[0] == f"optimizer_{optimizer}"}


def read_sharded_weights(source: str | os.PathLike) -> dict[str, Tensor]:
    """Weights of a sharded checkpoint by name, each put together from its shares."""
    return _read(source, only="state_dict").get("state_dict", {})


def read_sharded(source: str | os.PathLike) -> Saved:
    """All of it, whole, as a training on one process writes it: parameters of the optimiser have
    numbers for names.
    """
    tensors, rest = _read(source), read_rest(source)
    check_training(rest, str(source))
    groups = rest.pop("optimizer_groups")
    optimizers = [
        by_number(tensors.get(f"optimizer_{i}", {}), each) for i, each in enumerate(groups)
    ]
    return {"state_dict": tensors["state_dict"], "optimizer_states": optimizers, **rest}


def _read(source: str | os.PathLike, only: str = "") -> Saved:
    """Tensors, in the dictionaries that they were written in."""
    metadata = _Reader(source).read_metadata()
    wanted = {key for key, path in metadata.planner_data.items() if path[0].startswith(only)}
    described = {key: _tensor(metadata, key) for key in wanted}
    flat = {
        key: torch.empty(each.size, dtype=each.properties.dtype) for key, each in described.items()
    }
    _load(flat, source, no_dist=True)
    nested: Saved = {}
    for key, value in flat.items():
        *path, last = metadata.planner_data[key]
        place = nested
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return nested


def _tensor(metadata: Metadata, key: str) -> TensorStorageMetadata:
    found = metadata.state_dict_metadata[key]
    assert isinstance(found, TensorStorageMetadata)  # nothing else is read (shard_metadata.py)
    return found


class _Reader(FileSystemReader):
    """Reads tensors only, and no metadata that would run code."""

    def read_metadata(self, *args: object, **kwargs: object) -> Metadata:
        """Read `.metadata`, once, without running what it names (shard_metadata.py)."""
        metadata = read_metadata(Path(self.path))
        metadata.storage_meta = StorageMeta(load_id=self.load_id)
        return metadata
