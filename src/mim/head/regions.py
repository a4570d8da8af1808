"""Box and mask heads of Mask R-CNN (arXiv 1703.06870), as ViTDet has them in detectron2: layer
norms, L1, masks of 28 x 28.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mim.all_processes import mean_over_processes
from mim.dense import Objects
from mim.head.assignment import Quota, Sampled, of_regions, sample
from mim.head.boxes import Offsets, clipped, pooled
from mim.head.detections import Detections, kept_after_nms
from mim.head.federated import Federated
from mim.head.proposals import Proposals
from mim.head.pyramid import normed_convolution
from mim.head.region_losses import mask_loss, offset_loss
from mim.ranges import Count, Positive, Rate

BOX_SIDE, MASK_SIDE = 7, 14
"""Bins per side that regions are pooled to."""


def _stack(in_width: int, width: int, count: int) -> list[nn.Module]:
    return [
        layer
        for number in range(count)
        for layer in (*normed_convolution(width if number else in_width, width, 3), nn.ReLU())
    ]


class RegionHeads(nn.Module):
    """A category, a box and a mask for each region.

    Args:
        in_width: channels of the levels.
        num_classes: K, categories of objects.
        width: of the convolutions.
        box_convolutions, mask_convolutions: before the scores.
        fully_connected: numbers that stand for a region.
        sampled: regions of an image that are learned from.
        positive: share of them that may be foreground.
        threshold: overlap with an object from which on a region is foreground.
        score_threshold: least score of a detection.
        nms: overlap from which the lower one of two detections of a category is left out.
        detections: kept of an image.
        canonical_size: side of a box that is pooled from the level of stride 16.
        federated: classes that each step is about, instead of a softmax over all of them (LVIS);
            null for the softmax.
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
    ):
        super().__init__()
        self.num_classes, self.federated = num_classes, federated
        self.sampled, self.positive, self.threshold = sampled, positive, threshold
        self.score_threshold, self.nms, self.detections = score_threshold, nms, detections
        self.canonical_size, self.offsets = canonical_size, Offsets((10.0, 10.0, 5.0, 5.0))
        connected = nn.Linear(width * BOX_SIDE**2, fully_connected)
        nn.init.kaiming_uniform_(connected.weight, a=1)
        self.box = nn.Sequential(
            *_stack(in_width, width, box_convolutions), nn.Flatten(), connected, nn.ReLU()
        )
        self.score = nn.Linear(fully_connected, num_classes + 1)
        self.offset = nn.Linear(fully_connected, 4 * num_classes)
        up, last = nn.ConvTranspose2d(width, width, 2, 2), nn.Conv2d(width, num_classes, 1)
        nn.init.kaiming_normal_(up.weight, mode="fan_out", nonlinearity="relu")
        self.mask = nn.Sequential(*_stack(in_width, width, mask_convolutions), up, nn.ReLU(), last)
        for layer, std in ((self.score, 0.01), (self.offset, 0.001), (last, 0.001)):
            nn.init.normal_(layer.weight, std=std)
        for bias in (connected.bias, self.score.bias, self.offset.bias, up.bias, last.bias):
            assert bias is not None
            nn.init.zeros_(bias)
        if federated:
            federated.prepare(num_classes)
            nn.init.constant_(self.score.bias, federated.first_bias)

    def describe(
        self, levels: Sequence[Tensor], boxes: Sequence[Tensor], strides: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Class scores (N, K + 1), background last, and offsets (N, 4 K) of the boxes of all
        images.
        """
        regions = pooled(levels, boxes, strides, BOX_SIDE, self.canonical_size)
        features = self.box(regions)
        return self.score(features).float(), self.offset(features).float()

    def masks(
        self,
        levels: Sequence[Tensor],
        boxes: Sequence[Tensor],
        strides: Sequence[int],
        category: Tensor,
    ) -> Tensor:
        """Scores of the pixels of each box, of its category: (N, 28, 28)."""
        scores = self.mask(pooled(levels, boxes, strides, MASK_SIDE, self.canonical_size)).float()
        return scores[torch.arange(len(scores), device=scores.device), category]

    @torch.no_grad()
    def sample(
        self, proposals: Sequence[Proposals], objects: Sequence[Objects], key: Tensor
    ) -> list[Sampled]:
        """Regions to learn from, boxes of objects among them (detectron2, roi_heads.py,
        label_and_sample_proposals).
        """
        wanted, background = Quota(self.sampled, self.positive), self.num_classes
        return [
            sample(torch.cat([one.box, at.box]), at, own_key, wanted, self.threshold, background)
            for one, at, own_key in zip(proposals, objects, key, strict=True)
        ]

    def losses(
        self,
        levels: Sequence[Tensor],
        strides: Sequence[int],
        sampled: Sequence[Sampled],
        objects: Sequence[Objects],
        key: Tensor,
        size: Tensor,
    ) -> dict[str, Tensor]:
        """Cross entropy of categories, L1 of offsets, cross entropy of the pixels of masks, in
        images of `size` (B, 2).

        The first two are divided by the number of regions, the third by that of the foreground's
        pixels.
        """
        boxes = self.box_losses(levels, strides, sampled, objects, key, size)
        return boxes | {"mask": self._mask_loss(levels, strides, sampled, objects)}

    def box_losses(
        self,
        levels: Sequence[Tensor],
        strides: Sequence[int],
        sampled: Sequence[Sampled],
        objects: Sequence[Objects],
        key: Tensor,
        size: Tensor,
    ) -> dict[str, Tensor]:
        """The first two of the losses."""
        score, offset = self.describe(levels, [one.box for one in sampled], strides)
        category = torch.cat([one.category for one in sampled])
        target = torch.cat(
            [one.box[match] for one, (_, _, match) in zip(objects, sampled, strict=True)]
        )
        box = torch.cat([one.box for one in sampled])
        keys = of_regions(key, [one.box for one in sampled])
        wrong, far = self.compared(score, self.offsets, offset, box, category, target, keys)
        return {"category": wrong, "box": far}

    def compared(
        self,
        score: Tensor,
        offsets: Offsets,
        offset: Tensor,
        box: Tensor,
        category: Tensor,
        target: Tensor,
        key: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Losses of categories and of offsets.

        Args:
            score: (N, K + 1).
            offsets, offset, box, category, target: as `offset_loss` has them.
            key: of the images of the regions, (N,).
        """
        regions = mean_over_processes(len(category), score.device)
        far = offset_loss(offset, offsets, box, category, target, self.num_classes)
        return self._category_loss(score, category, key) / regions, far / regions

    def _category_loss(self, score: Tensor, category: Tensor, key: Tensor) -> Tensor:
        if self.federated:
            return self.federated.loss(score, category, key)
        return cross_entropy(score, category, reduction="sum")

    def _mask_loss(
        self,
        levels: Sequence[Tensor],
        strides: Sequence[int],
        sampled: Sequence[Sampled],
        objects: Sequence[Objects],
    ) -> Tensor:
        foreground = [one.foreground for one in sampled]
        category = torch.cat([one.category for one in foreground])
        over = mean_over_processes(len(category), category.device)
        if not len(category):
            nothing = torch.zeros((), device=category.device)
            return sum((0 * parameter.sum() for parameter in self.mask.parameters()), start=nothing)
        score = self.masks(levels, [one.box for one in foreground], strides, category)
        return mask_loss(score, sampled, objects) / over

    def judged(
        self,
        levels: Sequence[Tensor],
        strides: Sequence[int],
        boxes: Sequence[Tensor],
        size: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Probabilities (N, K) and boxes (N, K, 4) of all regions, one image after another."""
        score, offset = self.describe(levels, boxes, strides)
        return self.probability(score), clipped(
            self.offsets.boxes(offset, torch.cat(list(boxes))), boxes, size
        )

    def probability(self, score: Tensor) -> Tensor:
        """Scores (N, K + 1) -> probabilities of the categories (N, K)."""
        return (score.sigmoid() if self.federated else score.softmax(dim=1))[:, : self.num_classes]

    @torch.no_grad()
    def detect(
        self,
        levels: Sequence[Tensor],
        strides: Sequence[int],
        boxes: Sequence[Tensor],
        size: Tensor,
    ) -> list[Detections]:
        """Detections in regions (N, 4) of each image of `size` (B, 2) (detectron2, fast_rcnn.py,
        fast_rcnn_inference).
        """
        counts = [len(each) for each in boxes]
        probability, predicted = self.judged(levels, strides, boxes, size)
        found = [
            kept_after_nms(*one, self.score_threshold, self.nms, self.detections)
            for one in zip(probability.split(counts), predicted.split(counts), strict=True)
        ]
        category = torch.cat([each for _, _, each in found])
        mask = self.masks(levels, [box for box, _, _ in found], strides, category).sigmoid()
        return [
            Detections(*each, part)
            for each, part in zip(found, mask.split([len(box) for box, _, _ in found]), strict=True)
        ]
