"""Decoder that looks at the tokens of one of the encoder's blocks, too (BootMAE, arXiv 2207.07116,
section 3.2).
"""

import torch
from timm.layers import Mlp
from torch import Tensor, nn

from mim.encoder.attention import Norm, attend
from mim.encoder.initialise import initialise_mae
from mim.encoder.padding import Lengths, padding, padding_bias
from mim.encoder.positions import sincos_positions
from mim.masker.split import Split
from mim.model.packing import pack
from mim.ranges import Count, Positive
from mim.tokens import take


class Attention(nn.Module):
    """Attention of some tokens to others; the width of a head is rounded down, 42 for 12 heads of
    512.
    """

    def __init__(self, width: int, context_width: int, heads: int):
        super().__init__()
        self.heads, inner = heads, width // heads * heads
        self.query, self.value = nn.Linear(width, inner), nn.Linear(context_width, inner)
        self.key = nn.Linear(context_width, inner, bias=False)  # a bias would change nothing
        self.proj = nn.Linear(inner, width)

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        bias: Tensor | Lengths | None = None,
        values: Tensor | None = None,
    ) -> Tensor:
        """(B, M, D) that look at (B, N, C) -> (B, M, D); with `values` (B, N, C), see those."""
        layers = (
            (self.query, x),
            (self.key, context),
            (self.value, context if values is None else values),
        )
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, tokens in layers
        )
        return self.proj(attend(query, key, value, bias).transpose(1, 2).flatten(2))


class CrossBlock(nn.Module):
    """Block of the decoder: tokens look at each other, then at those of the encoder's block, then
    each is changed.
    """

    def __init__(self, width: int, context_width: int, heads: int, mlp_ratio: float):
        super().__init__()
        self.norm1, self.norm2, self.norm3, self.norm4 = (
            Norm(width),
            Norm(width),
            Norm(width),
            Norm(context_width),
        )
        self.attn, self.cross = (
            Attention(width, width, heads),
            Attention(width, context_width, heads),
        )
        self.mlp = Mlp(width, int(width * mlp_ratio))

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        bias: Tensor | Lengths | None = None,
        context_bias: Tensor | None = None,
        wanted: int | None = None,
    ) -> Tensor:
        """(B, M, D) and (B, N, C) -> (B, M, D), or of the first `wanted` tokens alone (B, wanted,
        D).
        """
        around = self.norm1(x)
        x = x[:, :wanted] + self.attn(around[:, :wanted], around, bias)
        x = x + self.cross(self.norm3(x), self.norm4(context), context_bias)
        return x + self.mlp(self.norm2(x))


class CrossDecoder(nn.Module):
    """Predict the values of masked patches from the encoded visible ones and from what left a block
    of the encoder.

    Mask tokens have positions, and encoded tokens are taken as they are (LightDXY/BootMAE,
    models/modeling_pretrain_bootmae.py). The last layer has a bias for each value of a patch; the
    release's transposed convolution to pixels has one a channel.

    Args:
        encoder_width: channels of the encoder's tokens.
        grid: rows and columns of patches.
        target_dim: values per patch.
        width, depth, heads, mlp_ratio: of the decoder's blocks.

    Raises:
        ValueError: where there is no block, or a head has no channel.
    """

    def __init__(
        self,
        encoder_width: int,
        grid: tuple[int, int],
        target_dim: int,
        width: Count = 512,
        depth: Count = 2,
        heads: Count = 12,
        mlp_ratio: Positive = 4.0,
    ):
        super().__init__()
        if depth < 1 or heads > width:
            raise ValueError(
                f"CrossDecoder got width={width}, depth={depth}, heads={heads}; needs a block and "
                "a channel a head"
            )
        self.embed = nn.Linear(encoder_width, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(
            sincos_positions(width, grid).float()[None], requires_grad=False
        )
        self.blocks = nn.ModuleList(
            CrossBlock(width, encoder_width, heads, mlp_ratio) for _ in range(depth)
        )
        self.norm = Norm(width)
        self.predict = nn.Linear(width, target_dim)
        self.apply(initialise_mae)
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)

    def forward(self, latent: Tensor, context: Tensor, split: Split) -> Tensor:
        """Encoded tokens and those of a block, prefix first (B * K, R + Lv, D) -> predictions (B,
        K, Lm, P).
        """
        B, K, Lm = split.masked.shape
        visible = self.embed(latent)
        place = self.pos_embed[0].to(visible.dtype)[split.masked + 1].flatten(0, 1)
        x = torch.cat([self.mask_token.to(visible.dtype) + place, visible], dim=1)
        valid, bias, context_bias = split.valid(), None, None
        if valid is not None:
            there = torch.ones(
                B, K, latent.shape[1] - split.visible.shape[-1], dtype=torch.bool, device=x.device
            )
            valid = torch.cat([valid[..., :Lm], there, valid[..., Lm:]], dim=-1).flatten(0, 1)
            context_bias = padding_bias(valid[:, Lm:])
            order, valid = pack(valid, most=there.shape[-1] + self.pos_embed.shape[1] - 1)
            x, bias = take(x, order[:, None])[:, 0], padding(valid, x)
        for block in self.blocks[:-1]:
            x = block(x, context, bias, context_bias)
        x = self.blocks[-1](x, context, bias, context_bias, wanted=Lm)
        return self.predict(self.norm(x)).unflatten(0, (B, K))
