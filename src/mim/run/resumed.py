"""Say where a training goes on, and with which other settings."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as L
import torch
from pytorch_lightning.utilities import rank_zero_only

from mim.checkpoint.changes import Change, in_words
from mim.checkpoint.resume import Resumable
from mim.checkpoint.training_state import check_moments
from mim.launch.errors import explain
from mim.plain import printable
from mim.run.training_data import TrainingModule

_RAW = (LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, AssertionError)


class Resumed(L.Callback):
    """One line, once the place is known.

    Args:
        changes: settings that are not what they were.
    """

    def __init__(self, changes: Sequence[Change]):
        self.changes = changes
        self.restored = False

    def on_train_start(self, trainer: L.Trainer, pl_module: TrainingModule) -> None:
        """Print on one process, once moments are known to be those of the parameters."""
        check_moments(trainer.optimizers)
        self.restored = True
        at = pl_module.resumed_at
        assert at is not None
        again = f"; {at.again:,} images, which fill no step, are seen again" if at.again else ""
        changed = f"; changed: {in_words(self.changes)}" if self.changes else ""
        rank_zero_only(print)(
            f"{'resumed':<14}at epoch {at.epoch} (counted from 0), step "
            f"{trainer.global_step:,}{again}{changed}"
        )


@contextmanager
def restoring(source: Resumable | None, callbacks: Sequence[L.Callback]) -> Iterator[None]:
    """While a training begins, let an error that only a strange checkpoint can cause name it:
    libraries read it as it is.
    """
    try:
        yield
    except (*_RAW, ValueError) as error:
        begun = any(callback.restored for callback in callbacks if isinstance(callback, Resumed))
        if source and not begun and _in_a_library(error):
            explain(
                error,
                f"{printable(source.file)} cannot be continued: what it says of its training is "
                "not what a run writes "
                f"({type(error).__name__}: {printable(error, 200)}); take an earlier checkpoint, "
                "or start anew from its weights "
                "with checkpoint=",
            )
        raise


def _in_a_library(error: BaseException) -> bool:
    """Whether an error is none of our own words, and no want of memory."""
    raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
    ours = Path(__file__).parents[1] in Path(raised_in).parents
    return not isinstance(error, torch.OutOfMemoryError) and not (
        ours and isinstance(error, ValueError)
    )
