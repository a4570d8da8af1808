"""What is judged: an encoder, the images to judge it on, and how to show them to it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar, cast, runtime_checkable

from torch import Tensor, nn
from torch.utils.data import DataLoader

from mim.batch import Batch
from mim.dense import DenseBatch, Objects
from mim.encoder.encoder import Encoder

T = TypeVar("T")


class EvaluatedData(Protocol):
    """Data module, set up, as evaluations see it."""

    batch_size: int

    @property
    def train_size(self) -> int:
        """Number of training images."""

    @property
    def classes(self) -> list[str]:
        """Names of the classes; empty without labels."""

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 without labels."""

    def learn_from(self, labels: str) -> None:
        """Train from here on on images with these labels, e.g. `classes`."""

    def train_dataloader(self, batch_size: int | None = None) -> DataLoader[Batch]:
        """Augmented training images; null for the data's own size of a batch."""

    def bank_dataloader(self, limit: int | None = None) -> DataLoader[Batch]:
        """Training images, clean, in order; at most `limit`, evenly spread."""

    def val_dataloader(
        self, limit: int | None = None, first_classes: int | None = None
    ) -> DataLoader[Batch]:
        """Held-out images, clean, in order; at most `limit`, evenly spread, of the first
        classes.
        """


class HeldOutScenes(Protocol):
    """Held-out pictures with dense labels, numbered from 0."""

    def size(self, number: int) -> tuple[int, int]:
        """Height and width of a picture."""

    def image(self, number: int) -> Tensor:
        """A picture (3, H, W) uint8."""

    def label_map(self, number: int) -> Tensor:
        """The class of each of its pixels (H, W) uint8, `IGNORE` where nothing is known."""

    def objects(self, number: int, size: tuple[int, int]) -> Objects:
        """Its objects, in pixels of the picture once it is resized to (height, width)."""


@runtime_checkable
class _HasScenes(Protocol):
    held_out_scenes: HeldOutScenes


class EvaluatedCheckpoint(NamedTuple):
    """One checkpoint, open. An evaluation takes a list of them and returns a row:
    `evaluation(checkpoints) -> dict`.
    """

    name: str
    """For tables and figures: a run's folder, a file, or `timm:<name>`."""
    encoder: Encoder
    """(B, 3, H, W) -> (B, R + L, D), on its device."""
    data: EvaluatedData
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


def scenes_of(checkpoint: EvaluatedCheckpoint) -> HeldOutScenes:
    """Held-out pictures of a checkpoint's data, which has dense labels."""
    assert isinstance(checkpoint.data, _HasScenes)
    return checkpoint.data.held_out_scenes


def dense_batches(checkpoint: EvaluatedCheckpoint, limit: int | None) -> Iterator[DenseBatch]:
    """Held-out images with dense labels, at most so many, on the encoder's device."""
    prepare = cast(Callable[[Batch], DenseBatch], checkpoint.prepare)  # they are dense already
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
