"""A checkpoint is either whole or not there."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from mim.checkpoint.sharded import is_sharded, read_sharded
from mim.checkpoint.sound import check_archive
from mim.checkpoint.swap import not_written, partial_of, put_in_place
from mim.part import Saved
from mim.plain import no_link


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write beside the target, then rename over it: a full disk or a lost process leaves the
    previous checkpoint as it was.
    """

    def save_checkpoint(
        self, checkpoint: Saved, path: str | os.PathLike, storage_options: object = None
    ) -> None:
        """Save a checkpoint.

        Raises:
            OSError: where the disk does not take it; says what survives.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = no_link(partial_of(target))
        try:
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            put_in_place(partial, target)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            partial.unlink(missing_ok=True)
            raise not_written(target, error) from error

    def load_checkpoint(
        self,
        path: str | os.PathLike,
        map_location: Callable | None = None,
        weights_only: bool | None = True,
    ) -> Saved:
        """Load a checkpoint, one of many processes too; files that would run code are refused."""
        if is_sharded(path):
            return read_sharded(path)
        check_archive(Path(path))
        return torch.load(
            path, map_location=map_location or (lambda storage, _: storage), weights_only=True
        )
