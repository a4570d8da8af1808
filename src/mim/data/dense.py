"""Base of data sets with dense labels: they train as any other, and give label maps or objects
where a task asks for them.
"""

from abc import abstractmethod
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from mim.augment.jitter import Jitter
from mim.data.module import Data
from mim.data.scenes import Labels, SceneBatches, Scenes
from mim.data.splits import Pictures, Splits
from mim.dense import IGNORE, DenseBatch


class SceneSplits(NamedTuple):
    """Training and held-out scenes."""

    train: Scenes
    val: Scenes
    classes: list[str]
    """Of pixels, or of objects."""
    repeats: Tensor | None = None
    """(N,) how often each training picture is seen in an epoch."""


class DenseData(Data):
    """Data set with dense labels.

    Attributes:
        labels: what batches have, once a task has asked for it; null for images alone.
        jitter: what is done to training images that are learned from with labels.
        category_images: in how many training pictures each category is, where the data set knows.
        longest: what the long side of clean images may become where their short side is resized to
            `resize`.
    """

    jitter: Jitter
    longest: int | None = None
    labels: Labels | None = None
    category_images: list[int] | None = None
    image_size: int

    @abstractmethod
    def scenes(self, labels: Labels) -> SceneSplits:
        """Scenes with label maps or objects.

        Raises:
            ValueError: where the data set has none.
        """

    @abstractmethod
    def images_alone(self) -> Splits:
        """The same pictures for what needs no labels: pre-training."""

    def learn_from(self, labels: str) -> None:
        """Give label maps, or objects, from here on."""
        if labels not in ("label_maps", "objects"):
            super().learn_from(labels)
            return
        self.labels = "objects" if labels == "objects" else "label_maps"
        self.__dict__.pop("splits", None)

    def load(self) -> Splits:
        """Scenes with the labels that were asked for; without any, their images alone.

        Raises:
            ValueError: where no pixel has a class: every loss would be 0.
        """
        if self.labels is None:
            return self.images_alone()
        scenes = self.scenes(self.labels)
        self.held_out_scenes, self.training_scenes = scenes.val, scenes.train
        if self.labels == "label_maps":
            if not self.only_judged:
                _refuse_ignored(scenes.train, "training", "learn from")
            _refuse_ignored(scenes.val, "held-out", "judge by")
        resize = (self.resize, self.longest or 2**31) if self.resize else None
        side = self.image_size if self.squares else 0
        clean = SceneBatches(scenes.train, self.labels, None, side, resize)
        return Splits(
            train=self._batches(
                SceneBatches(
                    scenes.train, self.labels, self.jitter, self.image_size, None, scenes.repeats
                )
            ),
            unaugmented=self._batches(clean),
            val=self._batches(SceneBatches(scenes.val, self.labels, None, side, resize)),
            bank=self._batches(clean),
            classes=scenes.classes,
        )

    @staticmethod
    def _batches(batches: SceneBatches) -> Pictures:
        """Batches of another type than `Pictures` says: with dense labels."""
        return cast(Pictures, batches)

    @property
    def words(self) -> dict[str, str]:
        """What is looked at, by subject."""
        said = super().words
        return said | {"augmentation": str(self.training)} if self.labels else said

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int = 0) -> Any:
        """On the training device: normalise; what is padding becomes 0 afterwards."""
        if not isinstance(batch, DenseBatch):
            return super().on_after_batch_transfer(batch, dataloader_idx)
        mean, std = self.normalisation.on(batch.image.device)
        image = (batch.image.float() - mean) / std
        rows, columns = (torch.arange(side, device=image.device) for side in image.shape[-2:])
        # (B, H, W)
        inside = (rows < batch.size[:, :1])[:, :, None] & (columns < batch.size[:, 1:])[:, None]
        return batch._replace(image=torch.where(inside[:, None], image, 0.0))


def _refuse_ignored(scenes: Scenes, which: str, what: str) -> None:
    """Refuse label maps of which nothing is known; of others the first tells already."""
    if all((scenes.label_map(number) == IGNORE).all() for number in range(len(scenes))):
        raise ValueError(
            f"every pixel of the {which} label maps is ignored, so there is nothing to {what}; see "
            "data.ignore and data.first_class"
        )
