"""What is judged: an encoder, the images to judge it on, and how to show them to it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from torch import Tensor, nn

from mim.batch import Batch
from mim.dense import DenseBatch
from mim.encoder.encoder import Encoder

T = TypeVar("T")


class EvaluatedCheckpoint(NamedTuple):
    """One checkpoint, open. An evaluation takes a list of them and returns a row:
    `evaluation(checkpoints) -> dict`.
    """

    name: str
    """For tables and figures: a run's folder, a file, or `timm:<name>`."""
    encoder: Encoder
    """(B, 3, H, W) -> (B, R + L, D), on its device."""
    data: Any
    """A data module, set up."""
    prepare: Callable[[Batch], Batch]
    """Moves a batch to the encoder's device and normalises it."""
    autocast: Callable[[], AbstractContextManager]
    """The precision that it runs in."""
    folder: Path
    """Of the run that judges: where pictures and tables go."""
    key: str = ""
    """The same for the same weights on the same images in the same precision."""
    cache: Path | None = None
    """Where features are kept for the next time."""
    classifier: Callable[[], nn.Module] | None = None
    """Opens what it was fine-tuned as, a batch -> class scores (B, classes), on its device."""
    class_names: Sequence[str] = ()
    """Names of those classes, in their order; empty where nothing says them."""
    dense: Callable[[str], nn.Module] | None = None
    """Opens what it was fine-tuned as by `task=segment` or `task=detect`, on its device."""


def fine_tuned(checkpoint: EvaluatedCheckpoint, task: str, kind: type[T]) -> T:
    """Model that a checkpoint was fine-tuned as by a task, in eval mode: a segmenter, a detector.

    Raises:
        ValueError: where it is of something else.
    """
    assert checkpoint.dense is not None
    model = checkpoint.dense(task)
    assert isinstance(model, kind)
    return model


def dense_batches(checkpoint: EvaluatedCheckpoint, limit: int | None) -> Iterator[DenseBatch]:
    """Held-out images with dense labels, at most so many, on the encoder's device."""
    prepare = cast(Callable[[DenseBatch], DenseBatch], checkpoint.prepare)
    return map(prepare, checkpoint.data.val_dataloader(limit))


def needs_classes(checkpoint: EvaluatedCheckpoint, why: str) -> int:
    """The number of classes that the checkpoint's images are of.

    Raises:
        ValueError: where there are no labels, or nothing to tell apart.
    """
    data, count = type(checkpoint.data).__name__, checkpoint.data.num_classes
    if count == 0:
        raise ValueError(
            f"{data} has no labels, and {why} needs them; choose a labelled data set, e.g. "
            "data=cifar10, or "
            "pictures in one folder for each class, two at least"
        )
    if count == 1:
        raise ValueError(
            f"{data} has one class only ({checkpoint.data.classes[0]}), and {why} has nothing to "
            "tell apart"
        )
    return count


def check_labels(label: Tensor, classes: int) -> None:
    """Refuse labels (N,) that no head of so many classes has a score for.

    Raises:
        ValueError: naming one.
    """
    low, high = int(label.min()), int(label.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"an image is labelled {low if low < 0 else high}, and a head of {classes} classes has "
            "scores for 0 to "
            f"{classes - 1} only; the data set's `classes` have to name them all"
        )
