"""Encoder of DALL-E's discrete VAE, frozen: a picture -> the number of a code for every 8 x 8
pixels (arXiv 2102.12092).

openai/DALL-E, dall_e/encoder.py, under its names of tensors. Nothing here trains it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, relu

GROUPS = 4


class Convolution(nn.Module):
    """Convolution that keeps the size of its input; weight and bias are no parameters, and no
    checkpoint of a run has them.
    """

    w: Tensor
    b: Tensor

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.register_buffer("w", weight, persistent=False)
        self.register_buffer("b", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        return conv2d(x, self.w, self.b, padding=(self.w.shape[-1] - 1) // 2)


class Block(nn.Module):
    """Four convolutions, each after a ReLU, times `gain`, beside one of a pixel or none."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str, gain: float):
        super().__init__()
        self.gain = gain
        has_path = f"{name}.id_path.w" in tensors
        self.id_path = _convolution(tensors, f"{name}.id_path") if has_path else nn.Identity()
        self.path = nn.ModuleList(
            _convolution(tensors, f"{name}.res_path.conv_{i}") for i in range(1, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        added = x
        for convolution in self.path:
            added = convolution(relu(added))
        return self.id_path(x) + self.gain * added


class DalleEncoder(nn.Module):
    """Tokenizer of BEiT and CAE; sizes are read off its tensors, 8,192 codes in the published one.

    Args:
        tensors: of the release's `Encoder`, `blocks.input.w`,
            `blocks.group_1.block_1.res_path.conv_1.w`, ...

    Raises:
        ValueError: where one is missing.
    """

    side = 8
    """Pixels per side of what a code stands for."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        super().__init__()
        depth = len(
            {name.split(".")[2] for name in tensors if name.startswith("blocks.group_1.block_")}
        )
        gain = 1 / (GROUPS * depth) ** 2 if depth else 0.0
        try:
            self.input = _convolution(tensors, "blocks.input")
            self.groups = nn.ModuleList(
                nn.Sequential(
                    *(
                        Block(tensors, f"blocks.group_{group}.block_{i}", gain)
                        for i in range(1, depth + 1)
                    )
                )
                for group in range(1, GROUPS + 1)
            )
            self.output = _convolution(tensors, "blocks.output.conv")
        except KeyError as missing:
            raise ValueError(f"no encoder of DALL-E: {missing.args[0]} is missing") from missing
        if not depth:
            raise ValueError("no encoder of DALL-E: blocks.group_1.block_1 is missing")
        self.codes = len(self.output.w)

    @torch.no_grad()
    def scores(self, image: Tensor) -> Tensor:
        """Pixels in [0, 1] (B, 3, H, W) -> a score of each code (B, codes, H / 8, W / 8), in
        float32 whatever the autocast.
        """
        with torch.autocast(image.device.type, enabled=False):
            x = self.input(0.8 * image.float() + 0.1)  # dall_e/utils.py: map_pixels
            for number, group in enumerate(self.groups):
                x = group(max_pool2d(x, 2) if number else x)
            return self.output(relu(x))

    def forward(self, image: Tensor) -> Tensor:
        """Pixels in [0, 1] (B, 3, H, W) -> numbers of codes, row by row, (B, H / 8 * W / 8)
        int64.
        """
        return self.scores(image).argmax(1).flatten(1)


def _convolution(tensors: Mapping[str, Tensor], name: str) -> Convolution:
    return Convolution(tensors[f"{name}.w"].float(), tensors[f"{name}.b"].float())
