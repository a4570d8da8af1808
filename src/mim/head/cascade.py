"""Cascade Mask R-CNN (arXiv 1712.00726), as ViTDet has it in detectron2
(roi_heads/cascade_rcnn.py).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mim.dense import Objects
from mim.head.assignment import Sampled, assign, of_regions
from mim.head.boxes import Offsets, clipped, pooled
from mim.head.federated import Federated
from mim.head.regions import BOX_SIDE, RegionHeads
from mim.ranges import Count, Positive, Rate


class Stage(NamedTuple):
    """One box head of a cascade."""

    box: nn.Module
    score: nn.Module
    offset: nn.Module
    offsets: Offsets


class CascadeHeads(RegionHeads):
    """Several box heads, each on the boxes that the one before predicts, and held to more overlap;
    one mask head.

    Offsets are the same for all categories. Probabilities are averaged over the heads, boxes are
    the last one's, and masks are learned in the regions that the first one is given. The gradient
    of each head reaches the levels divided by their number.

    Args:
        in_width, num_classes, width, box_convolutions, mask_convolutions, fully_connected, sampled,
            positive, threshold, score_threshold, nms, detections, canonical_size, federated: those
            of `RegionHeads`; `threshold` is the first head's.
        later: overlap with an object from which on a region is foreground for each later head. Its
            offsets count two, three, .. times as much.
    """

    def __init__(
        self,
        in_width: Count,
        num_classes: Count,
        width: Count = 256,
        box_convolutions: Count = 4,
        mask_convolutions: Count = 4,
        fully_connected: Count = 1024,
        sampled: Count = 512,
        positive: Rate = 0.25,
        threshold: Rate = 0.5,
        score_threshold: Rate = 0.05,
        nms: Rate = 0.5,
        detections: Count = 100,
        canonical_size: Positive = 224,
        federated: Federated | None = None,
        later: Sequence[Rate] = (0.6, 0.7),
    ):
        super().__init__(
            in_width,
            num_classes,
            width,
            box_convolutions,
            mask_convolutions,
            fully_connected,
            sampled,
            positive,
            threshold,
            score_threshold,
            nms,
            detections,
            canonical_size,
            federated,
        )
        self.later = list(later)
        self.offset = _for_any_category(fully_connected)
        more = [  # without use for their masks
            RegionHeads(
                in_width,
                num_classes,
                width,
                box_convolutions,
                1,
                fully_connected,
                federated=federated,
            )
            for _ in later
        ]
        self.later_box = nn.ModuleList(each.box for each in more)
        self.later_score = nn.ModuleList(each.score for each in more)
        self.later_offset = nn.ModuleList(_for_any_category(fully_connected) for _ in later)

    @property
    def stages(self) -> list[Stage]:
        """The box heads."""
        first = Stage(self.box, self.score, self.offset, self.offsets)
        later = zip(self.later_box, self.later_score, self.later_offset, strict=True)
        return [
            first,
            *(Stage(*each, _offsets(number)) for number, each in enumerate(later, start=2)),
        ]

    def describe_at(
        self,
        stage: Stage,
        levels: Sequence[Tensor],
        boxes: Sequence[Tensor],
        strides: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        """Class scores (N, K + 1) and offsets (N, 4) that a head gives the boxes of all images."""
        regions = pooled(levels, boxes, strides, BOX_SIDE, self.canonical_size)
        if regions.requires_grad:
            count = 1 + len(self.later)
            regions.register_hook(lambda gradient: gradient / count)
        features = stage.box(regions)
        return stage.score(features).float(), stage.offset(features).float()

    def box_losses(
        self,
        levels: Sequence[Tensor],
        strides: Sequence[int],
        sampled: Sequence[Sampled],
        objects: Sequence[Objects],
        key: Tensor,
        size: Tensor,
    ) -> dict[str, Tensor]:
        """Losses of categories and offsets, of every head."""
        boxes, category = [one.box for one in sampled], torch.cat([one.category for one in sampled])
        target = torch.cat(
            [one.box[match] for one, (_, _, match) in zip(objects, sampled, strict=True)]
        )
        losses: dict[str, Tensor] = {}
        for number, stage in enumerate(self.stages):
            if number:
                category, target = self._labelled(boxes, objects, self.later[number - 1])
            score, offset = self.describe_at(stage, levels, boxes, strides)
            box = torch.cat(boxes)
            wrong, far = self.compared(
                score, stage.offsets, offset, box, category, target, of_regions(key + number, boxes)
            )
            name = f"_{number + 1}" if number else ""
            losses |= {f"category{name}": wrong, f"box{name}": far}
            boxes = [each[_is_there(each)] for each in _moved(stage, offset.detach(), boxes, size)]
        return losses

    @torch.no_grad()
    def _labelled(
        self, boxes: Sequence[Tensor], objects: Sequence[Objects], threshold: float
    ) -> tuple[Tensor, Tensor]:
        """Categories (N,) of the boxes of all images, and the objects' boxes (F, 4) that the
        foreground is of.
        """
        categories, targets = [], []
        for box, one in zip(boxes, objects, strict=True):
            category, match = assign(box, one, threshold, self.num_classes)
            categories.append(category)
            targets.append(one.box[match[category < self.num_classes]])
        return torch.cat(categories), torch.cat(targets)

    def judged(
        self,
        levels: Sequence[Tensor],
        strides: Sequence[int],
        boxes: Sequence[Tensor],
        size: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Mean probabilities (N, K) of all heads, and the last one's boxes, the same for every
        category (N, K, 4).
        """
        total = torch.zeros(0)
        for number, stage in enumerate(self.stages):
            score, offset = self.describe_at(stage, levels, boxes, strides)
            total = total + self.probability(score) if number else self.probability(score)
            boxes = _moved(stage, offset, boxes, size)
        return total / (1 + len(self.later)), torch.cat(list(boxes))[:, None].expand(
            -1, self.num_classes, -1
        )


def _for_any_category(width: int) -> nn.Linear:
    layer = nn.Linear(width, 4)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(layer.bias)
    return layer


def _offsets(number: int) -> Offsets:
    """Of the `number`-th head, from 1: (10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15)."""
    return Offsets((10.0 * number, 10.0 * number, 5.0 * number, 5.0 * number))


@torch.no_grad()
def _moved(stage: Stage, offset: Tensor, boxes: Sequence[Tensor], size: Tensor) -> list[Tensor]:
    """Boxes of each image as a head moves them, cut at its border."""
    box = clipped(stage.offsets.boxes(offset, torch.cat(list(boxes))), boxes, size)[:, 0]
    return list(box.split([len(each) for each in boxes]))


def _is_there(box: Tensor) -> Tensor:
    return (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
