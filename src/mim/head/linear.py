"""Linear segmentation head on patch tokens."""

from collections.abc import Sequence

from torch import Tensor, nn

from mim.head.batch_norm import SharedBatchNorm
from mim.ranges import Count


class LinearHead(nn.Module):
    """A linear layer on each patch token, after a batch norm (DINOv2's linear evaluation of
    segmentation, arXiv 2304.07193).

    Args:
        in_width: channels of the map: the encoder's.
        num_classes: classes of pixels.
    """

    taps = 1

    def __init__(self, in_width: Count, num_classes: Count):
        super().__init__()
        self.norm, self.classify = SharedBatchNorm(in_width), nn.Conv2d(in_width, num_classes, 1)
        nn.init.normal_(self.classify.weight, std=0.01)
        assert self.classify.bias is not None
        nn.init.zeros_(self.classify.bias)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """One map (B, in_width, H, W) -> class scores (B, num_classes, H, W)."""
        return self.classify(self.norm(maps[-1]))

    def with_auxiliary(self, maps: Sequence[Tensor]) -> list[tuple[float, Tensor]]:
        """Weights and class scores of all heads, of which there is one."""
        return [(1.0, self(maps))]
