"""What every data set yields and every model takes."""

from collections.abc import Callable
from itertools import chain, groupby
from typing import NamedTuple

import torch
from torch import Tensor

from mim.draw import keys, view_key, view_keys


class View(NamedTuple):
    """One crop of each image of a batch, as a network sees it."""

    image: Tensor
    """(B, C, H, W), normalised float once on the training device."""
    box: Tensor
    """(B, 4) float32, the crop as (x1, y1, x2, y2) in fractions of the source image."""
    flip: Tensor
    """(B,) bool, whether the crop was mirrored left to right."""


class Batch(NamedTuple):
    """Images and where they came from.

    A named tuple, so that it moves between devices and through `torch.compile` as it is.
    """

    views: tuple[View, ...]
    """One for most methods; for others global, then local crops, or a second one beside the
    first.
    """
    label: Tensor
    """(B,) int64, -1 where the data set has no labels."""
    index: Tensor  # type: ignore[assignment]  # a field, not tuple.index
    """(B,) int64, the image's place in its data set: stable over epochs."""
    key: Tensor
    """(B,) int64, from which `mim.draw` takes all that is random about this image in this step."""
    attention: Tensor | None = None
    """(B, A, rows, columns), what a teacher's cls token attends to in the first view; None where no
    teacher looked.
    """

    @property
    def image(self) -> Tensor:
        """Images of the first view: (B, C, H, W)."""
        return self.views[0].image

    @property
    def box(self) -> Tensor:
        """Where the first view lies: (B, 4), fractions of the source image."""
        return self.views[0].box

    @property
    def flip(self) -> Tensor:
        """Whether the first view was mirrored: (B,)."""
        return self.views[0].flip

    @property
    def tensors(self) -> list[Tensor]:
        """Image, box and flip of each view; then labels, indices and keys."""
        return [*chain.from_iterable(self.views), self.label, self.index, self.key]

    @classmethod
    def of(cls, image: Tensor, seed: int = 0) -> "Batch":
        """Batch of whole images (B, C, H, W), normalised, without labels; the seed decides their
        masks.
        """
        number = torch.arange(len(image), device=image.device)
        return cls((uncropped(image),), torch.full_like(number, -1), number, keys(seed, 0, number))

    def of_view(self, number: int) -> "Batch":
        """Batch of one view alone, with keys of its own: what a masker takes to hide patches of
        that view.
        """
        return self._replace(views=(self.views[number],), key=view_key(self.key, number))

    def of_views(self, count: int, first: int = 0) -> "Batch":
        """Batch of so many views from the first on, view by view, as so many more images, each with
        a key of its own.

        Raises:
            ValueError: where it has fewer.
        """
        if first + count > len(self.views):
            raise ValueError(
                f"{first + count} views of an image are compared, and the batch has "
                f"{len(self.views)}; take augment@data.augment=multi_crop (for MSN multi_crop_msn, "
                "for MoCo v3 multi_crop_moco_v3)"
            )
        numbers = range(first, first + count)
        views = [self.views[number] for number in numbers]
        view = View(*(torch.cat(parts) for parts in zip(*views, strict=True)))
        key = view_keys(self.key, first, count).flatten()
        return Batch((view,), self.label.repeat(count), self.index.repeat(count), key)

    def by_size(self, first: int = 0) -> "list[Batch]":
        """Batches of the views from the first on, those of one size that follow each other in one,
        as by `of_views`.
        """
        runs, at = [], first
        sizes = (view.image.shape[-2:] for view in self.views[first:])
        for _, views in groupby(sizes):
            count = len(list(views))
            runs.append(self.of_views(count, at))
            at += count
        return runs

    def with_image(self, image: Tensor) -> "Batch":
        """The same batch with other images (B, C, H, W) as its first view."""
        return self._replace(views=(self.views[0]._replace(image=image), *self.views[1:]))

    def apply(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same batch with each of its tensors changed: moved to a device, or cut to some of the
        images.
        """
        views = tuple(View(*map(change, view)) for view in self.views)
        attention = None if self.attention is None else change(self.attention)
        return Batch(views, change(self.label), change(self.index), change(self.key), attention)

    def some(self, which: Tensor | slice) -> "Batch":
        """Batch of some of the images: a slice, or (B,) bool, or their numbers in this batch."""
        return self.apply(lambda tensor: tensor[which])

    def split(self, count: int) -> list["Batch"]:
        """Batches of `count` images each, the last perhaps of fewer."""
        return [self.some(slice(i, i + count)) for i in range(0, len(self.key), count)]


def uncropped(image: Tensor) -> View:
    """View of whole images (B, C, H, W)."""
    box = torch.tensor([0.0, 0.0, 1.0, 1.0], device=image.device).expand(len(image), 4)
    return View(image, box, torch.zeros(len(image), dtype=torch.bool, device=image.device))


def blank(
    count: int, image_size: tuple[int, int], device: torch.device | str = "cpu", channels: int = 3
) -> Batch:
    """Black images, uncropped: to ask a model what it would do with `count` images of (height,
    width).
    """
    number = torch.arange(count, device=device)
    image = torch.zeros(count, channels, *image_size, device=device)
    return Batch((uncropped(image),), torch.full_like(number, -1), number, number)
