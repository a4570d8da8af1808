"""Detector: ViTDet's Mask R-CNN on a plain ViT (arXiv 2203.16527)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mim.dense import DenseBatch
from mim.encoder.model import Model
from mim.encoder.vit import ViT
from mim.head.detections import Detections
from mim.head.masks import pasted
from mim.head.proposals import ProposalNetwork
from mim.head.pyramid import SimplePyramid
from mim.head.regions import RegionHeads
from mim.head.windows import WindowedViT
from mim.ranges import Count


class Found(NamedTuple):
    """Objects found in one image, in the pixels of the picture that it was made of, highest score
    first.
    """

    box: Tensor
    """(G, 4)."""
    score: Tensor
    """(G,)."""
    category: Tensor
    """(G,)."""
    mask: Tensor
    """(G, H, W) bool."""


class Detector(Model):
    """Feature map, pyramid, proposals, and heads on regions.

    Args:
        encoder: a ViT, built for images of the size that it was pre-trained on; positions are
            resized to those that it sees.
        proposals: builds the proposal network from `width`.
        regions: builds the heads from `in_width` and `num_classes`.
        num_classes: categories of objects.
        image_size: pixels per side of training images, which relative positions have tables for.
        window: patches per side of a window.
        global_blocks: how many blocks attend to all patches, evenly spread, or which, counted from
            1.
        relative: add relative positions, which start at zero, to every block.
        width: channels of a level of the pyramid.

    Raises:
        ValueError: where there is nothing to detect, the encoder is no ViT, or patches do not tile
            the images.
    """

    def __init__(
        self,
        encoder: ViT,
        proposals: Callable[..., ProposalNetwork],
        regions: Callable[..., RegionHeads],
        num_classes: int,
        image_size: Count,
        window: Count = 14,
        global_blocks: Count | Sequence[Count] = 4,
        relative: bool = True,
        width: Count = 256,
    ):
        super().__init__()
        backbone = WindowedViT(encoder, (image_size, image_size), window, global_blocks, relative)
        # the coarsest level that is no pooling has half the places of the map
        tile = 2 * backbone.stride
        if image_size % tile:
            raise ValueError(
                f"data.image_size={image_size} is no multiple of two patches of {backbone.stride} "
                "pixels; e.g. "
                f"data.image_size={(image_size // tile + 1) * tile}"
            )
        self.encoder, self.relative = encoder, backbone.relative
        self.image_size, self.tile = image_size, tile
        # in a list, so that its parameters have one name: the encoder's, and `relative`
        self._backbone = [backbone]
        self.pyramid = SimplePyramid(encoder.width, width)
        self.strides = self.pyramid.strides(backbone.stride)
        self.proposals = proposals(width=width)
        self.regions = regions(in_width=width, num_classes=num_classes)

    @property
    def backbone(self) -> WindowedViT:
        """What makes the feature map."""
        return self._backbone[0]

    def levels(self, image: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) -> levels of the pyramid.

        Smaller images than those of training are padded to a square of their size, as detectron2
        does (`square_pad`).
        """
        height, width = (
            max(self.image_size, -(-side // self.tile) * self.tile) for side in image.shape[-2:]
        )
        return self.pyramid(
            self.backbone(pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2])))
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """The same, by the name that hooks know."""
        return self.levels(image)

    def losses(self, batch: DenseBatch) -> dict[str, Tensor]:
        """Five losses by name; what is a crowd is not learned from."""
        objects = [one.only(~one.crowd) for one in batch.objects]
        levels = self(batch.image)
        anchors = self.proposals.anchors(levels, self.strides)
        scores, offsets = self.proposals(levels)
        found = self.proposals.losses(scores, offsets, anchors, objects, batch.key)
        proposed = self.proposals.propose(scores, offsets, anchors, batch.size)
        sampled = self.regions.sample(proposed, objects, batch.key)
        # Regions are pooled from all levels but the one that was only pooled itself.
        return found | self.regions.losses(
            levels[:-1], self.strides[:-1], sampled, objects, batch.key, batch.size
        )

    @torch.no_grad()
    def detect(self, image: Tensor, size: Tensor) -> list[Detections]:
        """Normalised images (B, 3, H, W), of which `size` (B, 2) is no padding -> what is found in
        each, in their pixels.
        """
        levels = self(image)
        anchors = self.proposals.anchors(levels, self.strides)
        scores, offsets = self.proposals(levels)
        proposed = self.proposals.propose(scores, offsets, anchors, size)
        return self.regions.detect(
            levels[:-1], self.strides[:-1], [one.box for one in proposed], size
        )

    def no_weight_decay(self) -> set[str]:
        """Parameters that are not decayed, whatever their shape: positions and the ViT's norms
        (detectron2, solver/build.py).

        The layer norms of pyramid and heads are decayed there, and all biases: the release's
        reading of its own classes.
        """
        norms = {
            f"encoder.{name}.{kind}"
            for name, module in self.encoder.named_modules()
            if isinstance(module, nn.LayerNorm)
            for kind in ("weight", "bias")
        }
        return norms | {"encoder.pos_embed"}


def in_picture(found: Detections, size: Sequence[int], picture: Sequence[int]) -> Found:
    """Detections in an image whose (height, width) is `size`, carried to the picture that it was
    resized from.

    Boxes are scaled and cut at the border, empty ones left out, and masks pasted (detectron2,
    postprocessing.py).
    """
    (height, width), (rows, columns) = size, picture
    scale = found.box.new_tensor([columns / width, rows / height] * 2)
    most = found.box.new_tensor([columns, rows] * 2)
    box = (found.box * scale).clamp(min=0).minimum(most)
    left = (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
    box = box[left]
    mask = pasted(found.mask[left], box, (rows, columns))
    return Found(box, found.score[left], found.category[left], mask)
