"""A ViT with several cls tokens (Pixio, "In Pursuit of Pixel Supervision for Visual Pre-training";
facebookresearch/pixio).
"""

import torch
from torch import nn

from mim.encoder.vit import ViT
from mim.ranges import Count, Positive, Rate, Size


class Pixio(ViT):
    """A ViT whose patches have learned positions, and before them several cls tokens, each with a
    position of its own.

    The first of them is what pools take for the cls token (pretraining/models_pixio.py: PixioViT).

    Args:
        image_size, patch_size, width, depth, heads, mlp_ratio, drop_path, channels: as in `ViT`.
        cls_tokens: how many.
    """

    def __init__(
        self,
        image_size: Size,
        patch_size: Size,
        width: Count,
        depth: Count,
        heads: Count,
        mlp_ratio: Positive = 4.0,
        drop_path: Rate = 0.0,
        channels: Count = 3,
        cls_tokens: Count = 8,
    ):
        super().__init__(
            image_size,
            patch_size,
            width,
            depth,
            heads,
            mlp_ratio,
            drop_path,
            channels,
        )
        self.prefix = cls_tokens
        self.cls_token = nn.Parameter(torch.empty(1, cls_tokens, width).normal_(std=0.02))
        self.pos_embed = nn.Parameter(torch.empty(1, cls_tokens + self.geometry.patches, width))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
