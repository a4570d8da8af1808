"""Contract of an evaluation: one way of judging features."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint

Row = dict[str, Any]
"""What an evaluation returns: numbers, words and tables of them by name, as JSON can hold them."""


@runtime_checkable
class Evaluation(Protocol):
    """Evaluation: what one row says of checkpoints."""

    learns: bool
    """Whether it learns from training images; if not, all of a data set without a split is held
    out.
    """

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """Opened checkpoints, each with data to judge it on -> one row."""


@runtime_checkable
class DenseEvaluation(Evaluation, Protocol):
    """Evaluation on images with dense labels."""

    labels: str
    """`label_maps` or `objects`."""
    squares: bool
    """Whether images are shown as squares of the encoder's size, of their centre."""
