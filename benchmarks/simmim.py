"""SimMIM on index sets, this project's, and a dense implementation of the same with the same
weights, masks and loss.

The dense one embeds every patch, mixes in the mask token and predicts every pixel, as the official
code does (models/simmim.py); it cannot leave out patches.
"""

from functools import partial

import torch
from sizes import Sizes
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from mim.batch import blank
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.score.random import Random
from mim.model.simmim import SimMIM
from mim.target.pixel import Pixel

CELL = 2


class OnSets(nn.Module):
    """This project's SimMIM; images (B, 3, H, W) -> scalar loss."""

    def __init__(self, sizes: Sizes, partition: nn.Module):
        super().__init__()
        torch.manual_seed(0)
        self.loss = Term(Pixel(Geometry.of(sizes.patch, sizes.patch), normalise=False), "l1")
        encoder = ViT(sizes.image, sizes.patch, *sizes.encoder)
        self.model = SimMIM(
            encoder, Masker(Random(), partition, CELL), {"pixel": self.loss.target_dim}
        )

    def forward(self, image: Tensor) -> Tensor:
        made = self.model(blank(len(image), image.shape[2:], image.device).with_image(image))
        return self.loss(made.prediction, image, made.split)


class Dense(nn.Module):
    """The same on the whole grid, over timm's blocks; masks (B, 1, rows, columns), 1 is hidden."""

    def __init__(self, sizes: Sizes, partition: nn.Module):
        super().__init__()
        sets, patch = OnSets(sizes, partition).model, sizes.patch
        width, depth, heads = sizes.encoder
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.vit = VisionTransformer(
            sizes.image,
            patch,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            num_classes=0,
            norm_layer=norm,
        )
        self.vit.load_state_dict(sets.encoder.state_dict())
        self.vit.pos_embed.requires_grad_(False)
        self.mask_token, self.masker, self.grid, self.patch = (
            sets.mask_token,
            sets.masker,
            sets.encoder.geometry.grid,
            patch,
        )
        self.head = nn.Sequential(nn.Conv2d(width, 3 * patch**2, 1), nn.PixelShuffle(patch))
        # by (row, column, channel); PixelShuffle wants (channel, row, column)
        weight, bias = sets.decoder.weight.data, sets.decoder.bias.data
        order = torch.arange(3 * patch**2).view(patch, patch, 3).permute(2, 0, 1).flatten()
        self.head[0].weight.data, self.head[0].bias.data = (
            weight[order, :, None, None].clone(),
            bias[order].clone(),
        )

    def forward(self, image: Tensor) -> Tensor:
        B = len(image)
        masked = self.masker(blank(B, image.shape[2:], image.device), self.grid).masked[:, 0]
        mask = image.new_zeros(B, self.grid[0] * self.grid[1], 1).scatter(1, masked[..., None], 1.0)
        tokens = self.vit.patch_embed(image)
        tokens = tokens * (1 - mask) + self.mask_token * mask
        tokens = (
            torch.cat([self.vit.cls_token.expand(B, -1, -1), tokens], dim=1) + self.vit.pos_embed
        )
        latent = self.vit.norm(self.vit.blocks(tokens))[:, 1:]
        prediction = self.head(latent.transpose(1, 2).unflatten(2, self.grid))
        pixels = (
            mask.view(B, 1, *self.grid)
            .repeat_interleave(self.patch, 2)
            .repeat_interleave(self.patch, 3)
        )
        return ((prediction.float() - image).abs() * pixels).sum() / pixels.sum() / 3


CONTESTANTS = {
    "ours": partial(OnSets, partition=FixedRatio(0.6, "mask_up")),
    "dense": partial(Dense, partition=FixedRatio(0.6, "mask_up")),
    "ours, 26 % thrown (AMT)": partial(OnSets, partition=ThrowMiddle(0.44, 0.26)),
}
