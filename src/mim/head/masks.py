"""Masks of objects between an image and the square of 28 x 28 pixels that a head predicts."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import grid_sample
from torchvision.ops import roi_align

BYTES_AT_ONCE = 2**28  # of pasted masks, before they are made bool


def mask_targets(mask: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Masks (G, H, W) bool as seen in a box each (G, 4) -> (G, side, side) bool (detectron2,
    BitMasks.crop_and_resize).
    """
    regions = torch.cat(
        [torch.arange(len(mask), device=boxes.device)[:, None].to(boxes.dtype), boxes], dim=1
    )
    return (
        roi_align(
            mask[:, None].to(boxes.dtype), regions, side, 1.0, sampling_ratio=0, aligned=True
        )[:, 0]
        >= 0.5
    )


def pasted(
    probability: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float = 0.5
) -> Tensor:
    """Predicted masks (G, S, S) in [0, 1] and their boxes (G, 4) -> masks (G, *size) bool of the
    whole image.

    Every pixel's centre is looked up where it lies in the box, between the four nearest predictions
    (detectron2, layers/mask_ops.py, paste_masks_in_image).
    """
    if not len(probability):
        return torch.zeros(0, *size, dtype=torch.bool, device=probability.device)
    return torch.cat(list(_pasted(probability, boxes, size, threshold)))


def _pasted(
    probability: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float
) -> Iterator[Tensor]:
    height, width = size
    at_once = max(1, BYTES_AT_ONCE // (height * width * 4))
    y, x = (torch.arange(side, device=boxes.device, dtype=torch.float32) + 0.5 for side in size)
    for masks, part in zip(
        probability[:, None].float().split(at_once), boxes.float().split(at_once), strict=True
    ):
        x0, y0, x1, y1 = part.split(1, dim=1)  # (G, 1) each
        columns = (x - x0) / (x1 - x0) * 2 - 1  # (G, W), -1 and 1 at the sides of the box
        rows = (y - y0) / (y1 - y0) * 2 - 1
        columns, rows = (torch.where(line.isfinite(), line, 0.0) for line in (columns, rows))
        shape = (len(part), height, width)
        places = torch.stack(
            [columns[:, None].expand(shape), rows[:, :, None].expand(shape)], dim=-1
        )
        yield grid_sample(masks, places, align_corners=False)[:, 0] >= threshold
