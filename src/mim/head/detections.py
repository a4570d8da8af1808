"""Detections of one image: what is left of scored boxes (detectron2, fast_rcnn.py,
fast_rcnn_inference).
"""

from typing import NamedTuple

from torch import Tensor
from torchvision.ops import batched_nms


class Detections(NamedTuple):
    """What is found in one image, highest score first."""

    box: Tensor
    """(G, 4)."""
    score: Tensor
    """(G,)."""
    category: Tensor
    """(G,)."""
    mask: Tensor
    """(G, 28, 28), probability of each pixel of the box."""


def kept_after_nms(
    probability: Tensor, box: Tensor, score_threshold: float, nms: float, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (G, 4), scores (G,) and categories (G,) of what is found, highest score first.

    Args:
        probability: of each category in each region, (N, K).
        box: of each category in each region, (N, K, 4).
        score_threshold: least score.
        nms: overlap from which the lower one of two detections of a category is left out.
        most: detections of an image.
    """
    sound = probability.isfinite().all(dim=1) & box.isfinite().flatten(1).all(dim=1)
    region, category = ((probability > score_threshold) & sound[:, None]).nonzero(as_tuple=True)
    boxes, scores = box[region, category], probability[region, category]
    left = batched_nms(boxes, scores, category, nms)[:most]
    return boxes[left], scores[left], category[left]
