"""UPerNet (arXiv 1807.10221), a head that gives every pixel a class, as mmsegmentation builds
it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate
from torchvision.ops import Conv2dNormActivation

from mim.head.batch_norm import PreciseBatchNorm, SharedBatchNorm
from mim.head.pyramid import TapPyramid
from mim.ranges import Count, NotNegative, Rate


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, C, H, W) -> (B, C, *size), bilinear."""
    return (
        maps
        if maps.shape[-2:] == size
        else interpolate(maps, size=size, mode="bilinear", align_corners=False)
    )


def _layer(
    in_width: int, width: int, kernel: int, norm: type[nn.Module] = SharedBatchNorm
) -> nn.Module:
    """Convolution without bias, batch norm over all processes, ReLU (mmcv's ConvModule)."""
    return Conv2dNormActivation(in_width, width, kernel, norm_layer=norm)


class UPerNet(nn.Module):
    """Feature pyramid with pooling over regions, on the maps of four blocks (mmsegmentation 1.2.2,
    decode_heads/uper_head.py).

    Args:
        in_width: channels of the maps: the encoder's.
        num_classes: classes of pixels.
        width: channels within.
        auxiliary_width: channels of a second head on the third map, a convolution and a layer that
            trains with it and is not asked afterwards (decode_heads/fcn_head.py); null for none.
        auxiliary_weight: of its loss.
        dropout: share of channels that are left out before the last layer.
        pools: sides of the grids that the last level is pooled to.
    """

    taps = 4
    """Blocks whose maps it looks at."""

    def __init__(
        self,
        in_width: Count,
        num_classes: Count,
        width: Count = 512,
        auxiliary_width: Count | None = 256,
        auxiliary_weight: NotNegative = 0.4,
        dropout: Rate = 0.1,
        pools: Sequence[Count] = (1, 2, 3, 6),
    ):
        super().__init__()
        self.pools, self.auxiliary_weight = tuple(pools), auxiliary_weight
        self.neck = TapPyramid(in_width)
        self.pooled = nn.ModuleList(_layer(in_width, width, 1, PreciseBatchNorm) for _ in pools)
        self.bottleneck = _layer(in_width + len(pools) * width, width, 3)
        self.lateral = nn.ModuleList(_layer(in_width, width, 1) for _ in range(3))
        self.smooth = nn.ModuleList(_layer(width, width, 3) for _ in range(3))
        self.fuse = _layer(4 * width, width, 3)
        self.classify = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(width, num_classes, 1))
        self.auxiliary: nn.Sequential | None = None
        if auxiliary_width:
            last = nn.Conv2d(auxiliary_width, num_classes, 1)
            self.auxiliary = nn.Sequential(
                _layer(in_width, auxiliary_width, 3), nn.Dropout2d(dropout), last
            )
        for layer in (self.classify[-1], *([self.auxiliary[-1]] if self.auxiliary else [])):
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Four maps (B, in_width, H, W), first block first -> class scores (B, num_classes, 4 H, 4
        W).
        """
        return self._scores(self.neck(maps))

    def with_auxiliary(self, maps: Sequence[Tensor]) -> list[tuple[float, Tensor]]:
        """Weights and class scores of all heads, for training."""
        levels = self.neck(maps)
        scores = [(1.0, self._scores(levels))]
        return (
            [*scores, (self.auxiliary_weight, self.auxiliary(levels[2]))]
            if self.auxiliary
            else scores
        )

    def _scores(self, levels: Sequence[Tensor]) -> Tensor:
        top = levels[-1]
        size = (top.shape[-2], top.shape[-1])
        pooled = [
            resized(layer(adaptive_avg_pool2d(top, side)), size)
            for side, layer in zip(self.pools, self.pooled, strict=True)
        ]
        laterals = [layer(level) for layer, level in zip(self.lateral, levels[:3], strict=True)]
        laterals.append(self.bottleneck(torch.cat([top, *pooled], dim=1)))
        for number in range(3, 0, -1):
            lower = laterals[number - 1]
            laterals[number - 1] = lower + resized(
                laterals[number], (lower.shape[-2], lower.shape[-1])
            )
        size = (laterals[0].shape[-2], laterals[0].shape[-1])
        outs = [layer(lateral) for layer, lateral in zip(self.smooth, laterals[:3], strict=True)]
        return self.classify(
            self.fuse(torch.cat([resized(out, size) for out in (*outs, laterals[3])], dim=1))
        )
