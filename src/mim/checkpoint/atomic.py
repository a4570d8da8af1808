"""A checkpoint is either whole or not there."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write beside the target, then rename over it: a full disk or a lost process leaves the previous checkpoint as it was."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any = None) -> None:
        """Save a checkpoint.

        Raises:
            OSError: where the disk does not take it; says what survives.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        try:
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            free = shutil.disk_usage(target.parent).free // 2**20
            reason = error if isinstance(error, OSError) else f"{free} MiB are left on the disk"
            partial.unlink(missing_ok=True)
            kept = f"the previous {target.name} is untouched" if target.exists() else "there was no earlier one"
            raise OSError(
                f"could not write {target}: {reason}; {kept}. Free some space and go on with resume="
            ) from error

    def load_checkpoint(
        self, path: str | os.PathLike, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Load a checkpoint; files that would run code are refused."""
        return torch.load(path, map_location=map_location or (lambda storage, _: storage), weights_only=True)
