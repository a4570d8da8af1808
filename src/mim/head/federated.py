"""Federated loss: each image tells some categories of a long list from background (LVIS).

Proposed with CenterNet2 (arXiv 2103.07461).
"""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from mim.draw import SAMPLE, uniform
from mim.ranges import Count, Fraction, NonNegativeInt, NotNegative, in_range

_STREAM = SAMPLE + 8


class Federated:
    """Sigmoid cross entropy over some categories: those of an image, and others drawn up to a
    number of them.

    Background counts as one (detectron2, roi_heads/fast_rcnn.py, get_fed_loss_classes). detectron2
    draws once for all images of a GPU; ViTDet was trained with one on each (64 on 64). Here each
    image has its own, on however many processes.

    Args:
        classes: of an image; null for all of them, which is the plain sigmoid loss.
        power: of the number of images of a category, in proportion to which the others are drawn.
        images: number of training images of each category, which the data set says; null for equal
            weights.
        prior: score of every category at first.
    """

    @in_range
    def __init__(
        self,
        classes: Count | None = 50,
        power: NotNegative = 0.5,
        images: Sequence[NonNegativeInt] | None = None,
        prior: Annotated[Fraction, "e.g. 0.01"] = 0.01,
    ):
        self.classes, self.power, self.images = classes, power, images
        self.first_bias = -math.log((1 - prior) / prior)
        self.weight = torch.empty(0)

    def prepare(self, num_classes: int) -> None:
        """Weights of so many categories.

        Raises:
            ValueError: where the numbers of images are not as many.
        """
        images = self.images if self.images is not None else [1] * num_classes
        if len(images) != num_classes:
            raise ValueError(
                f"Federated got numbers of images of {len(images)} categories, and there are "
                f"{num_classes}"
            )
        self.weight = torch.tensor(images, dtype=torch.float32) ** self.power

    def chosen(self, category: Tensor, key: Tensor, num_classes: int) -> Tensor:
        """Categories of an image (K,) bool: those of its regions (N,), K being background, and
        others by its key ().
        """
        there = torch.zeros(num_classes + 1, dtype=torch.bool, device=category.device)
        there[category] = True
        if self.classes is None:
            return torch.ones_like(there)[:num_classes]
        more = self.classes - int(there.sum())
        if more > 0:
            # Without replacement in proportion to weights: the largest of log(u) / weight
            # (Efraimidis and Spirakis, 2006).
            weight = self.weight.to(category.device)
            rank = uniform(key[None], num_classes, _STREAM)[0].clamp(min=1e-12).log() / weight
            rank = rank.masked_fill(there[:num_classes], -math.inf)  # as is that of no images
            top = rank.topk(min(more, num_classes))
            there[top.indices[top.values > -math.inf]] = True
        return there[:num_classes]

    def loss(self, score: Tensor, category: Tensor, key: Tensor) -> Tensor:
        """Sum of the cross entropies of the chosen categories.

        Args:
            score: (N, K + 1).
            category: (N,).
            key: of the image of each region, (N,).
        """
        num_classes = score.shape[1] - 1
        target = one_hot(category, num_classes + 1)[:, :num_classes].to(score.dtype)
        each = binary_cross_entropy_with_logits(score[:, :num_classes], target, reduction="none")
        chosen = torch.zeros_like(each, dtype=torch.bool)
        for image in key.unique():
            own = key == image
            chosen[own] = self.chosen(category[own], image, num_classes)
        return (each * chosen).sum()
