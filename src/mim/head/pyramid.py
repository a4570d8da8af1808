"""Feature pyramids of a plain transformer, which has maps of one stride only."""

from collections.abc import Callable, Sequence

from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from mim.head.batch_norm import SharedBatchNorm
from mim.ranges import Count

SCALES = (4.0, 2.0, 1.0, 0.5)
"""Sides of the levels over those of the map that they are made of."""


def _resize(
    scale: float, width: int, narrow: bool, norm: Callable[[int], nn.Module]
) -> tuple[list[nn.Module], int]:
    """Layers that make a map (B, width, H, W) `scale` times as large, and the width that they
    leave.
    """
    half, quarter = (width // 2, width // 4) if narrow else (width, width)
    if scale == 4.0:
        first, second = (
            nn.ConvTranspose2d(width, half, 2, 2),
            nn.ConvTranspose2d(half, quarter, 2, 2),
        )
        return [first, norm(half), nn.GELU(), second], quarter
    if scale == 2.0:
        return [nn.ConvTranspose2d(width, half, 2, 2)], half
    return ([] if scale == 1.0 else [nn.MaxPool2d(2, 2)]), width


def normed_convolution(in_width: int, width: int, kernel: int) -> list[nn.Module]:
    """Convolution without a bias, and a layer norm over channels (detectron2's Conv2d with norm
    "LN").
    """
    layer = nn.Conv2d(in_width, width, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return [layer, LayerNorm2d(width, eps=1e-6)]


class SimplePyramid(nn.Module):
    """ViTDet's simple feature pyramid: five levels, all of the last block (detectron2,
    modeling/backbone/vit.py).

    Args:
        in_width: channels of the map.
        width: channels of a level.
    """

    def __init__(self, in_width: Count, width: Count = 256):
        super().__init__()
        self.width = width
        levels = []
        for scale in SCALES:
            layers, left = _resize(
                scale, in_width, True, lambda channels: LayerNorm2d(channels, eps=1e-6)
            )
            for kernel, channels in ((1, left), (3, width)):
                layers += normed_convolution(channels, width, kernel)
            levels.append(nn.Sequential(*layers))
        self.levels = nn.ModuleList(levels)

    def strides(self, stride: int) -> list[int]:
        """Pixels per side of a place of each level, of a map whose places have `stride`."""
        return [int(stride / scale) for scale in (*SCALES, 0.25)]

    def forward(self, features: Tensor) -> list[Tensor]:
        """Map (B, in_width, H, W) -> levels (B, width, ..) of 4, 2, 1, 1/2 and 1/4 of its sides."""
        levels = [level(features) for level in self.levels]
        return [*levels, max_pool2d(levels[-1], kernel_size=1, stride=2)]


class TapPyramid(nn.Module):
    """Four levels of the maps of four blocks, as mmsegmentation has it for ViTs
    (necks/featurepyramid.py, Feature2Pyramid).

    Args:
        width: channels of the maps and of the levels.
    """

    def __init__(self, width: Count):
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(*_resize(s, width, False, SharedBatchNorm)[0]) for s in SCALES
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps (B, width, H, W), first block first -> levels of 4, 2, 1 and 1/2 of their
        sides.
        """
        return [level(features) for level, features in zip(self.levels, maps, strict=True)]
