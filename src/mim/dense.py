"""Batch of dense labels: images with a class for every pixel, or with objects, their boxes and
masks.
"""

from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

Entry = dict[str, Any]
"""Picture, annotation, category or detection, or all of a file, as COCO's format has them."""
IGNORE = 255
"""Class of the pixels of a label map that nothing is learned from and that no number counts."""


class Objects(NamedTuple):
    """Objects of one image, G of them, in pixels of that image."""

    box: Tensor
    """(G, 4) float32, as (x1, y1, x2, y2)."""
    category: Tensor
    """(G,) int64, from 0."""
    mask: Tensor
    """(G, H, W) bool."""
    crowd: Tensor
    """(G,) bool: a region of many objects of the category, from which nothing is learned."""

    @classmethod
    def of_masks(cls, mask: Tensor, category: Tensor, crowd: Tensor | None = None) -> "Objects":
        """Objects whose boxes are those of their masks (G, H, W); those without a pixel are left
        out.
        """
        kept = mask.flatten(1).any(dim=1)
        mask, category = mask[kept], category[kept]
        crowd = torch.zeros_like(category, dtype=torch.bool) if crowd is None else crowd[kept]
        return cls(boxes_of(mask), category, mask, crowd)

    def only(self, kept: Tensor) -> "Objects":
        """Some of them, (G,) bool or their numbers."""
        return Objects(*(column[kept] for column in self))


class DenseBatch(NamedTuple):
    """Images of one size, padded at the bottom and on the right, with dense labels in their
    pixels.
    """

    image: Tensor
    """(B, 3, H, W), normalised float once on the training device; padding is 0."""
    label_map: Tensor
    """(B, H, W) uint8, `IGNORE` where nothing is known; (B, 0, 0) without label maps."""
    objects: tuple[Objects, ...]
    """Of each image; empty without objects."""
    size: Tensor
    """(B, 2) int64, height and width of what is no padding."""
    index: Tensor  # type: ignore[assignment]  # a field, not tuple.index
    """(B,) int64, the image's place in its data set."""
    key: Tensor
    """(B,) int64, from which `mim.draw` takes all that is random about this image in this step."""

    @property
    def label(self) -> Tensor:
        """(B,) int64, -1: such an image has no class of its own."""
        return torch.full_like(self.index, -1)


def coco_library(module: str = "") -> ModuleType:
    """faster-coco-eval, which reads COCO's masks and counts what was found; or a module of it.

    Raises:
        ImportError: one line, where it is not installed.
    """
    try:
        return import_module(f"faster_coco_eval.{module}" if module else "faster_coco_eval")
    except ImportError as error:
        raise ImportError("objects need faster-coco-eval: pip install 'mim-lab[dense]'") from error


def boxes_of(mask: Tensor) -> Tensor:
    """Boxes (G, 4) of masks (G, H, W) that have a pixel each: from the first column and row to
    behind the last.
    """
    spans = []
    for axis in (1, 2):  # columns, then rows
        line = mask.any(dim=axis).float()  # (G, W), then (G, H)
        spans.append((line.argmax(dim=1), line.shape[1] - line.flip(1).argmax(dim=1)))
    (x1, x2), (y1, y2) = spans
    return torch.stack([x1, y1, x2, y2], dim=1).float()
