"""Segmenter: an encoder and a head that gives each pixel a class."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from mim.dense import IGNORE, DenseBatch
from mim.encoder.blocks import check_number
from mim.encoder.encoder import Encoder
from mim.encoder.model import Model
from mim.encoder.swin import Swin
from mim.head.linear import LinearHead
from mim.head.upernet import UPerNet, resized
from mim.head.windows import equal_parts
from mim.ranges import Count

SegmentationHead = UPerNet | LinearHead


class Segmenter(Model):
    """Maps of some blocks, without the final norm, and a head on them.

    It runs on images of the encoder's size; larger ones are cut into windows (`segment`).

    Args:
        encoder: (B, 3, H, W) -> (B, R + L, D).
        head: builds the head from `in_width` and `num_classes`.
        num_classes: classes of pixels.
        blocks: whose tokens the head looks at, counted from 1; null for the last of as many equal
            parts as it has taps. MAE's UPerNet takes [4, 6, 8, 12] of ViT-B and [8, 12, 16, 24] of
            ViT-L (implus/mae_segmentation).

    Raises:
        ValueError: where the encoder has no such blocks, or they are not as many as the head looks
            at.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: Callable[..., SegmentationHead],
        num_classes: Count,
        blocks: Sequence[int] | None = None,
    ):
        super().__init__()
        self.encoder = encoder.requires_grad_()
        self.head = head(in_width=encoder.width, num_classes=num_classes)
        self.num_classes = num_classes
        name = type(encoder).__name__
        if isinstance(encoder, Swin) and self.head.taps > 1:
            raise ValueError(
                "Swin's blocks have maps of several widths; take one map of the last: head=linear"
            )
        if blocks is None and encoder.depth < self.head.taps:
            raise ValueError(
                f"the head looks at {self.head.taps} blocks and {name} has {encoder.depth}; name "
                "them, e.g. "
                f"task.model.blocks={[encoder.depth] * self.head.taps}, or take head=linear"
            )
        self.blocks = (
            list(blocks) if blocks is not None else equal_parts(encoder.depth, self.head.taps)
        )
        for number in self.blocks:
            check_number(number, encoder.depth, name)
        if len(self.blocks) != self.head.taps:
            raise ValueError(
                f"task.model.blocks={self.blocks} are {len(self.blocks)} and the head looks at "
                f"{self.head.taps}; give as many"
            )
        encoder.norm.requires_grad_(False)  # nobody looks at it, and DDP waits for every gradient

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels that the encoder runs on."""
        return self.encoder.geometry.image_size

    def maps(self, image: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) of the encoder's size -> a map (B, D, rows, columns) of each
        block.
        """
        tokens = self.encoder.encode_blocks(self.encoder.embed(image), self.blocks)
        return [
            x[:, self.encoder.prefix :].transpose(1, 2).unflatten(2, self.encoder.geometry.grid)
            for x in tokens
        ]

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W) of the encoder's size -> class scores of coarser pixels (B,
        num_classes, h, w).
        """
        return self.head(self.maps(image))

    def losses(self, batch: DenseBatch) -> dict[str, Tensor]:
        """By head, the weighted cross entropy of all its pixels; ignored ones count as 0
        (mmsegmentation's avg_non_ignore=False).

        An image that is half padding weighs half.
        """
        target = batch.label_map.long()
        size = (target.shape[-2], target.shape[-1])
        found = {}
        for name, (weight, scores) in zip(
            ("segment", "auxiliary"), self.head.with_auxiliary(self.maps(batch.image)), strict=False
        ):
            total = cross_entropy(
                resized(scores, size).float(), target, ignore_index=IGNORE, reduction="sum"
            )
            found[name] = weight * total / target.numel()
        return found

    def segment(
        self, image: Tensor, size: tuple[int, int] | None = None, stride: float = 2 / 3
    ) -> Tensor:
        """Images of any size (B, 3, H, W) -> class scores (B, num_classes, *size), of H x W where
        no size is given.

        Windows of the encoder's size, `stride` of a window apart, the last at the border; where
        they overlap, their scores are averaged (mmsegmentation, segmentors/encoder_decoder.py:
        slide_inference).
        """
        height, width = image.shape[-2:]
        rows, columns = self.image_size
        filled = pad(image, (0, max(0, columns - width), 0, max(0, rows - height)))
        tops = _starts(filled.shape[-2], rows, stride)
        lefts = _starts(filled.shape[-1], columns, stride)
        total = image.new_zeros(
            len(image), self.num_classes, *filled.shape[-2:], dtype=torch.float32
        )
        count = total.new_zeros(filled.shape[-2:])
        for top in tops:
            for left in lefts:
                window = (slice(top, top + rows), slice(left, left + columns))
                scores = self(filled[..., window[0], window[1]])
                total[..., window[0], window[1]] += resized(scores.float(), (rows, columns))
                count[window] += 1
        return resized((total / count)[..., :height, :width], size or (height, width))

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that are not decayed: what the encoder says."""
        return {f"encoder.{name}" for name in self.encoder.no_weight_decay()}


def _starts(length: int, window: int, stride: float) -> list[int]:
    """Where windows begin: a stride apart, the last where it still fits."""
    step = max(1, int(window * stride))
    count = -(-(length - window) // step) + 1
    return [min(number * step, length - window) for number in range(count)]
