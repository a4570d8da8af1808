"""Region proposals: which boxes may hold an object (Faster R-CNN, arXiv 1506.01497), as ViTDet has
them in detectron2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.models.detection._utils import Matcher
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image

from mim.all_processes import mean_over_processes
from mim.dense import Objects
from mim.head.boxes import Offsets, anchors_of, cell_anchors, quota
from mim.ranges import Count, Positive, Rate

ANCHORS, REGIONS = range(2)
"""Streams of what is drawn for an image."""


class Proposals(NamedTuple):
    """Proposals of one image."""

    box: Tensor
    """(N, 4), in its pixels, highest score first."""
    score: Tensor
    """(N,), before the sigmoid."""


class Kept(NamedTuple):
    """How many proposals are kept."""

    before_nms: int
    """Of each level."""
    after_nms: int
    """Of an image."""


class ProposalNetwork(nn.Module):
    """Convolutions over every level, and for each anchor a score and offsets (detectron2,
    proposal_generator/rpn.py).

    Args:
        width: channels of the levels.
        anchor_sizes: side of the anchors of each level, in pixels.
        ratios: heights over widths of anchors.
        convolutions: of 3 x 3, before the scores.
        nms: overlap from which the lower one of two proposals of a level is left out.
        train, test: proposals that are kept.
        sampled: anchors of an image that are learned from.
        positive: share of them that may be positive.
        thresholds: anchors that overlap an object less than the first are negative, from the second
            on positive.
    """

    def __init__(
        self,
        width: Count,
        anchor_sizes: Sequence[Positive] = (32, 64, 128, 256, 512),
        ratios: Sequence[Positive] = (0.5, 1.0, 2.0),
        convolutions: Count = 2,
        nms: Rate = 0.7,
        train: tuple[Count, Count] = (2000, 1000),
        test: tuple[Count, Count] = (1000, 1000),
        sampled: Count = 256,
        positive: Rate = 0.5,
        thresholds: tuple[Rate, Rate] = (0.3, 0.7),
    ):
        super().__init__()
        layers = [
            layer
            for _ in range(convolutions)
            for layer in (nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        ]
        self.shared = nn.Sequential(*layers)
        self.score = nn.Conv2d(width, len(ratios), 1)
        self.offset = nn.Conv2d(width, 4 * len(ratios), 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        self.nms, self.kept = nms, {True: Kept(*train), False: Kept(*test)}
        self.sampled, self.positive = sampled, positive
        self.offsets, self.matcher = (
            Offsets(),
            Matcher(thresholds[1], thresholds[0], allow_low_quality_matches=True),
        )
        cells = [cell_anchors(size, ratios) for size in anchor_sizes]
        self.register_buffer("cells", torch.stack(cells), persistent=False)
        self.cells: Tensor

    def anchors(self, levels: Sequence[Tensor], strides: Sequence[int]) -> list[Tensor]:
        """Anchors (H W A, 4) of each level."""
        return [
            anchors_of((level.shape[-2], level.shape[-1]), stride, cell)
            for level, stride, cell in zip(levels, strides, self.cells, strict=True)
        ]

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Levels (B, width, H, W) -> scores (B, H W A) and offsets (B, H W A, 4) of each."""
        scores, offsets = [], []
        for level in levels:
            x = self.shared(level)
            scores.append(self.score(x).permute(0, 2, 3, 1).flatten(1).float())
            by_anchor = self.offset(x).unflatten(1, (-1, 4))  # (B, A, 4, H, W)
            offsets.append(by_anchor.permute(0, 3, 4, 1, 2).flatten(1, 3).float())
        return scores, offsets

    @torch.no_grad()
    def propose(
        self,
        scores: Sequence[Tensor],
        offsets: Sequence[Tensor],
        anchors: Sequence[Tensor],
        size: Tensor,
    ) -> list[Proposals]:
        """Best boxes of each image, cut at its border (detectron2, proposal_utils.py,
        find_top_rpn_proposals).

        Args:
            scores, offsets: by level, of `forward`.
            anchors: by level.
            size: (B, 2) height and width of each image, without padding.
        """
        kept = self.kept[self.training]
        return [
            self._of_image(number, scores, offsets, anchors, size, kept)
            for number in range(len(size))
        ]

    def _of_image(
        self,
        number: int,
        scores: Sequence[Tensor],
        offsets: Sequence[Tensor],
        anchors: Sequence[Tensor],
        size: Tensor,
        kept: Kept,
    ) -> Proposals:
        boxes, best, levels = [], [], []
        for level, (score, offset, anchor) in enumerate(zip(scores, offsets, anchors, strict=True)):
            top, place = score[number].topk(min(kept.before_nms, score.shape[1]))
            boxes.append(self.offsets.boxes(offset[number, place], anchor[place])[:, 0])
            best.append(top)
            levels.append(torch.full_like(place, level))
        box, score, of_level = torch.cat(boxes), torch.cat(best), torch.cat(levels)
        height, width = size[number].tolist()
        box = clip_boxes_to_image(box, (height, width))
        # a corner that is no number is above none, and what was infinite is cut
        sound = (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1]) & score.isfinite()
        box, score, of_level = box[sound], score[sound], of_level[sound]
        left = batched_nms(box, score, of_level, self.nms)[: kept.after_nms]
        return Proposals(box[left], score[left])

    def labels(self, anchors: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        """Anchors (N, 4), boxes of objects (G, 4) -> 1 positive, 0 negative, -1 neither (N,); and
        of which object (N,).
        """
        if not len(box):
            nothing = torch.zeros(len(anchors), dtype=torch.int64, device=anchors.device)
            return nothing, nothing
        match = self.matcher(box_iou(box, anchors))
        label = torch.where(match >= 0, 1, torch.where(match == Matcher.BETWEEN_THRESHOLDS, -1, 0))
        return label, match.clamp(min=0)

    def losses(
        self,
        scores: Sequence[Tensor],
        offsets: Sequence[Tensor],
        anchors: Sequence[Tensor],
        objects: Sequence[Objects],
        key: Tensor,
    ) -> dict[str, Tensor]:
        """Cross entropy of scores and L1 of offsets: sums over drawn anchors, divided by their
        number.

        detectron2 divides by the quota, the same where it is filled.
        """
        every = torch.cat(list(anchors))
        score, offset = torch.cat(list(scores), dim=1), torch.cat(list(offsets), dim=1)
        wrong, far, count = score.new_zeros(()), score.new_zeros(()), 0
        for number, (one, drawing) in enumerate(zip(objects, key, strict=True)):
            label, match = self.labels(every, one.box)
            first, second = quota(
                drawing, label == 1, label == 0, self.sampled, self.positive, ANCHORS
            )
            chosen = torch.cat([first, second])
            target = label[chosen].to(score.dtype)
            wrong = wrong + binary_cross_entropy_with_logits(
                score[number, chosen], target, reduction="sum"
            )
            if len(first):
                wanted = self.offsets.of(one.box[match[first]], every[first])
                far = far + (offset[number, first] - wanted).abs().sum()
            else:
                far = far + 0 * offset[number].sum()
            count += len(chosen)
        over = mean_over_processes(count, score.device)
        return {"rpn_score": wrong / over, "rpn_box": far / over}
