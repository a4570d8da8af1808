"""Boxes of Mask R-CNN as detectron2 computes them: anchors, offsets, assignment, pooling. The parts
are torchvision's.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import clip_boxes_to_image, roi_align

from mim.draw import SAMPLE, uniform

LARGEST_CHANGE = math.log(1000.0 / 16)  # of the logarithm of a side


def cell_anchors(size: float, ratios: Sequence[float]) -> Tensor:
    """Anchors (A, 4) around (0, 0) of one area, `size` squared, and of some ratios of height to
    width; not rounded.
    """
    area = size**2
    widths = [math.sqrt(area / ratio) for ratio in ratios]
    return torch.tensor(
        [[-w / 2, -r * w / 2, w / 2, r * w / 2] for w, r in zip(widths, ratios, strict=True)]
    )


def anchors_of(size: tuple[int, int], stride: int, cell: Tensor) -> Tensor:
    """Anchors (H W A, 4) of a map of (H, W) places whose first place is at (0, 0) (detectron2,
    anchor_generator.py, offset 0).
    """
    rows, columns = (torch.arange(side, device=cell.device) * float(stride) for side in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    shift = torch.stack([x, y, x, y], dim=-1).view(-1, 1, 4)
    return (shift + cell).view(-1, 4)


class Offsets(BoxCoder):
    """Offsets of boxes from anchors, divided by the lengths of the anchors and multiplied by
    weights.

    Args:
        weights: of centre x, centre y, log width and log height.
    """

    def __init__(self, weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)):
        super().__init__(weights, LARGEST_CHANGE)

    def of(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Boxes (N, 4) as seen from anchors (N, 4) -> (N, 4)."""
        return self.encode_single(boxes, anchors)

    def boxes(self, offsets: Tensor, anchors: Tensor) -> Tensor:
        """Offsets (N, 4 K) of K boxes from each of the anchors (N, 4) -> (N, K, 4)."""
        return self.decode_single(offsets, anchors).view(len(anchors), -1, 4)


def clipped(box: Tensor, regions: Sequence[Tensor], size: Tensor) -> Tensor:
    """Boxes (N, K, 4) of the regions of some images, cut at the border of each."""
    parts = box.split([len(each) for each in regions])
    return torch.cat(
        [
            clip_boxes_to_image(part, (rows, columns))
            for part, (rows, columns) in zip(parts, size.tolist(), strict=True)
        ]
    )


def drawn(key: Tensor, among: Tensor, count: int, stream: int) -> Tensor:
    """At most `count` of the numbers `among` (M,), drawn by the key of an image ()."""
    if len(among) <= count:
        return among
    order = uniform(key[None], len(among), SAMPLE + stream)[0].argsort(stable=True)
    return among[order[:count]].sort().values


def quota(
    key: Tensor, positive: Tensor, negative: Tensor, count: int, share: float, stream: int
) -> tuple[Tensor, Tensor]:
    """Numbers of positives, at most a share of `count`, and of negatives that fill it up
    (detectron2, modeling/sampling.py).

    Args:
        key: of the image, ().
        positive, negative: (M,) bool.
        count: to draw.
        share: of it that positives may take.
        stream: another one for anchors than for proposals.
    """
    first = drawn(key, positive.nonzero()[:, 0], int(count * share), 2 * stream)
    return first, drawn(key, negative.nonzero()[:, 0], count - len(first), 2 * stream + 1)


def levels_of(
    boxes: Tensor, count: int, canonical_size: float = 224, canonical_level: int = 4
) -> Tensor:
    """Level of a pyramid that each box (N, 4) is pooled from (N,): a box of the canonical size from
    level 4, 0 being stride 4.

    Feature Pyramid Networks, arXiv 1612.03144, equation 1; detectron2, modeling/poolers.py,
    assign_boxes_to_levels.
    """
    side = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    level = (canonical_level + torch.log2(side / canonical_size + 1e-8)).floor()
    return level.clamp(2, 1 + count).long() - 2


def pooled(
    maps: Sequence[Tensor],
    boxes: Sequence[Tensor],
    strides: Sequence[int],
    side: int,
    canonical_size: float = 224,
) -> Tensor:
    """Features (N, C, side, side) in the boxes of all images, one image after another.

    RoIAlign whose pixels have their centres at halves, with as many samples in a bin as it has
    pixels (detectron2's ROIAlignV2).

    Args:
        maps: levels (B, C, ..) of strides 4, 8, ..
        boxes: of each image (N, 4), in its pixels.
        strides: of the levels.
        side: bins per side.
        canonical_size: side of a box that is pooled from stride 16.
    """
    number = torch.cat([torch.full_like(each[:, :1], image) for image, each in enumerate(boxes)])
    regions = torch.cat([number, torch.cat(list(boxes))], dim=1)  # (N, 5)
    level = levels_of(regions[:, 1:], len(maps), canonical_size)
    out = maps[0].new_zeros(len(regions), maps[0].shape[1], side, side)
    for place, (features, stride) in enumerate(zip(maps, strides, strict=True)):
        here = (level == place).nonzero()[:, 0]
        found = roi_align(
            features,
            regions[here].to(features.dtype),
            side,
            1 / stride,
            sampling_ratio=0,
            aligned=True,
        )
        out = out.index_put((here,), found.to(out.dtype))
    return out
