"""Scenes: pictures with dense labels, and the batches that are made of them."""

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import pad

from mim.augment.jitter import Jitter, Placement, centred_in, fitted_to, unmoved
from mim.data.sampler import Rows
from mim.data.stamp import digest_of
from mim.dense import IGNORE, DenseBatch, Objects
from mim.draw import SCENE, uniform

Labels = Literal["label_maps", "objects"]
"""What is learned from: a class for every pixel, or objects."""


class Scenes(Protocol):
    """Pictures with dense labels, numbered from 0."""

    wants_workers: bool
    """Whether reading one takes long, so that processes of their own should do it."""

    def __len__(self) -> int: ...

    def size(self, number: int) -> tuple[int, int]:
        """Height and width of a picture."""

    def image(self, number: int) -> Tensor:
        """A picture (3, H, W) uint8."""

    def label_map(self, number: int) -> Tensor:
        """The class of each of its pixels (H, W) uint8, `IGNORE` where nothing is known."""

    def objects(self, number: int, size: tuple[int, int]) -> Objects:
        """Its objects, in pixels of the picture once it is resized to (height, width)."""


@runtime_checkable
class StampedScenes(Protocol):
    """Scenes of files, which may change."""

    def stamp(self, number: int) -> str:
        """What changes where a picture or its labels do."""


class SceneBatches:
    """Batches of scenes, jittered or clean; of clean ones the objects are left to whoever judges.

    Args:
        scenes: the pictures and their labels.
        labels: which of them a batch has.
        jitter: decides how each picture is mirrored, resized and cut; null for clean ones.
        side: pixels per side of a jittered image, or of the centre that is cut out of a clean one;
            0 for the whole of it.
        resize: of clean ones, the short side and the longest that the long side may become; null
            for as they are.
        repeats: (N,) how often each picture is seen in an epoch, on average; null for once.
    """

    def __init__(
        self,
        scenes: Scenes,
        labels: Labels,
        jitter: Jitter | None = None,
        side: int = 0,
        resize: tuple[int, int] | None = None,
        repeats: Tensor | None = None,
    ):
        self.scenes, self.labels, self.wants_workers = scenes, labels, scenes.wants_workers
        self.jitter, self.side, self.resize = jitter, side, resize
        self.ends = None if repeats is None else repeats.double().cumsum(0)
        self.label = torch.full((len(scenes),), -1)

    def __len__(self) -> int:
        return len(self.scenes) if self.ends is None else int(self.ends[-1])

    def __str__(self) -> str:
        if self.jitter:
            return str(self.jitter)
        if self.side:
            return f"the centre of {self.side}, the short side"
        return (
            f"short side {self.resize[0]}, at most {self.resize[1]}"
            if self.resize
            else "whole images as they are"
        )

    def __getitem__(self, rows: Rows) -> DenseBatch:
        """Rows (B,) -> images uint8, with labels in their pixels."""
        numbers = self.numbers(rows)
        images, maps, objects, sizes = [], [], [], []
        for number, key in zip(numbers.tolist(), rows.key, strict=True):
            placement = self._placement(number, key)
            images.append(placement.image(self.scenes.image(number)))
            sizes.append(placement.filled)
            if self.labels == "label_maps":
                maps.append(placement.label_map(self.scenes.label_map(number)))
            elif self.jitter:
                objects.append(placed(self.scenes.objects(number, placement.resized), placement))
        return DenseBatch(
            image=padded(images, 0),
            label_map=padded(maps, IGNORE)
            if maps
            else torch.zeros(len(images), 0, 0, dtype=torch.uint8),
            objects=tuple(objects),
            size=torch.tensor(sizes),
            index=numbers,
            key=rows.key,
        )

    def numbers(self, rows: Rows) -> Tensor:
        """Which pictures rows are, (B,).

        Where some are seen more often, place p of the epoch is a draw between p and p + 1 of the
        running sum of how often: so in every epoch each picture is seen as often as it should be,
        rounded up or down at random.
        """
        if self.ends is None:
            return rows.index
        drawn = (rows.index + uniform(rows.key, 1, SCENE)[:, 0]).double() * (
            self.ends[-1] / len(self)
        )
        return torch.searchsorted(self.ends, drawn, right=True).clamp(max=len(self.ends) - 1)

    def label_maps(self, numbers: Tensor) -> Tensor:
        """Label maps (B, H, W) uint8 of clean pictures of one size, without their pixels."""
        placements = [self._placement(number, torch.tensor(0)) for number in numbers.tolist()]
        return torch.stack(
            [
                placement.label_map(self.scenes.label_map(number))
                for number, placement in zip(numbers.tolist(), placements, strict=True)
            ]
        )

    def stamp(self, index: Tensor) -> str:
        """The same for the same pictures (N,) and label maps; of scenes that are drawn, always."""
        scenes = self.scenes
        if not isinstance(scenes, StampedScenes):
            return ""
        return digest_of(map(scenes.stamp, index.tolist()))

    def finish(self, batch: DenseBatch) -> Tensor:
        """Nothing is left to be done with the pixels -> (B, 3, H, W) float in 0..255."""
        return batch.image.float()

    def _placement(self, number: int, key: Tensor) -> Placement:
        size = self.scenes.size(number)
        if self.jitter:
            return self.jitter(key, size, self.side)
        if self.side:
            return centred_in(size, self.side)
        return fitted_to(size, *self.resize) if self.resize else unmoved(size)


def placed(objects: Objects, placement: Placement) -> Objects:
    """Objects of a resized picture, cut and mirrored with it; boxes are made anew of what is left
    of the masks.
    """
    return Objects.of_masks(placement.masks(objects.mask), objects.category, objects.crowd)


def padded(images: Sequence[Tensor], fill: int) -> Tensor:
    """Images (.., H, W) of several sizes, padded at the bottom and on the right -> (B, .., H, W) of
    the largest.
    """
    height, width = (max(image.shape[axis] for image in images) for axis in (-2, -1))
    return torch.stack(
        [
            pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]), value=fill)
            for image in images
        ]
    )
