"""Losses of the offsets and masks of foreground regions, summed (Mask R-CNN, arXiv 1703.06870; L1
as ViTDet has it).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mim.dense import Objects
from mim.head.assignment import Sampled
from mim.head.boxes import Offsets
from mim.head.masks import mask_targets


def offset_loss(
    offset: Tensor, offsets: Offsets, box: Tensor, category: Tensor, target: Tensor, background: int
) -> Tensor:
    """Sum of the absolute differences of offsets, (); no foreground has the loss 0 with a gradient.

    Args:
        offset: (N, 4) for any category, or (N, 4 K).
        offsets: what `offset` is told in.
        box, category: of the regions, (N, 4) and (N,).
        target: (F, 4), boxes of the objects that the foreground is of, in its order.
        background: category of all other regions.
    """
    foreground = (category < background).nonzero()[:, 0]
    each = offset.unflatten(1, (-1, 4))[foreground]  # (F, K or 1, 4)
    told = each[torch.arange(len(foreground)), category[foreground] if each.shape[1] > 1 else 0]
    return (told - offsets.of(target, box[foreground])).abs().sum()


def mask_loss(score: Tensor, sampled: Sequence[Sampled], objects: Sequence[Objects]) -> Tensor:
    """Mean over pixels of their binary cross entropies, summed over the foreground regions of all
    images, ().

    Args:
        score: of the pixels of each foreground region, (F, S, S), one image after another.
        sampled: regions of each image.
        objects: of each image.
    """
    target = torch.cat(
        [
            mask_targets(one.mask[regions.match], regions.foreground.box, score.shape[-1])
            for one, regions in zip(objects, sampled, strict=True)
        ]
    )
    total = binary_cross_entropy_with_logits(score, target.to(score.dtype), reduction="sum")
    return total / score[0].numel()
