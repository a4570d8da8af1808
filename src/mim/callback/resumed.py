"""Say where a training goes on, and with which other settings."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as L
from pytorch_lightning.utilities import rank_zero_only

from mim.checkpoint.changes import Change, in_words


class Resumed(L.Callback):
    """One line, once the place is known.

    Args:
        changes: settings that are not what they were.
    """

    def __init__(self, changes: Sequence[Change]):
        self.changes = changes

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Print on one process."""
        at = pl_module.resumed_at
        again = f"; {at.again:,} images, which fill no step, are seen again" if at.again else ""
        changed = f"; changed: {in_words(self.changes)}" if self.changes else ""
        rank_zero_only(print)(
            f"{'resumed':<14}at epoch {at.epoch} (counted from 0), step {trainer.global_step:,}{again}{changed}"
        )
