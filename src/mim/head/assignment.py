"""Assignment of regions to objects by overlap, and the sample of regions that is learned from
(detectron2, roi_heads.py, label_and_sample_proposals).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

from mim.dense import Objects
from mim.head.boxes import quota
from mim.head.proposals import REGIONS


class Quota(NamedTuple):
    """How many regions of an image are learned from."""

    regions: int
    positive: float
    """Share of them that may be foreground."""


class Sampled(NamedTuple):
    """Regions of one image that are learned from, foreground first."""

    box: Tensor
    """(N, 4)."""
    category: Tensor
    """(N,), K for background."""
    match: Tensor
    """(F,), which object each foreground region is of."""

    @property
    def foreground(self) -> "Sampled":
        """The first F, which are of objects."""
        count = len(self.match)
        return Sampled(self.box[:count], self.category[:count], self.match)


def assign(
    box: Tensor, objects: Objects, threshold: float, background: int
) -> tuple[Tensor, Tensor]:
    """Category of each region of one image, and which object it overlaps most: (N,), (N,).

    Args:
        box: regions, (N, 4).
        objects: of the image.
        threshold: overlap with an object from which on a region is of its category.
        background: category of all other regions.
    """
    match = torch.zeros(len(box), dtype=torch.int64, device=box.device)
    category = torch.full_like(match, background)
    if len(objects.box) and len(box):
        overlap, match = box_iou(objects.box, box).max(dim=0)
        category = torch.where(overlap >= threshold, objects.category[match], category)
    return category, match


def sample(
    box: Tensor, objects: Objects, key: Tensor, wanted: Quota, threshold: float, background: int
) -> Sampled:
    """Regions of one image that are learned from, drawn by its key (); the others as `assign` has
    them.
    """
    category, match = assign(box, objects, threshold, background)
    positive = category < background
    first, second = quota(key, positive, ~positive, wanted.regions, wanted.positive, REGIONS)
    order = torch.cat([first, second])
    return Sampled(box[order], category[order], match[first])


def of_regions(key: Tensor, boxes: Sequence[Tensor]) -> Tensor:
    """Keys of images (B,), and the boxes of each -> the key of each box's image (N,)."""
    counts = torch.tensor([len(each) for each in boxes], device=key.device)
    return key.repeat_interleave(counts)
