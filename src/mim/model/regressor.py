"""Latent contextual regressor: latents of masked patches (CAE, arXiv 2202.03026)."""

import torch
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from mim.encoder.attention import Norm
from mim.encoder.blocks import rising_rates
from mim.encoder.initialise import initialise_mae
from mim.encoder.padding import padding_bias
from mim.geometry import check_heads
from mim.model.cross_decoder import Attention
from mim.ranges import Count, Positive, Rate


class RegressorBlock(nn.Module):
    """Block of the regressor: queries look at visible patches and each other, then each is changed.

    Positions are added to queries and keys, not to values. What the MLP is added to is normalised
    (lxtGH/CAE, models/modeling_cae_helper.py: RegressorBlock).
    """

    def __init__(
        self, width: int, heads: int, mlp_ratio: float, layer_scale: float, drop_path: float
    ):
        super().__init__()
        self.norm_query, self.norm_key, self.norm_value, self.norm_mlp = (
            Norm(width) for _ in range(4)
        )
        self.cross, self.mlp = Attention(width, width, heads), Mlp(width, int(width * mlp_ratio))
        self.gamma_1, self.gamma_2 = (
            nn.Parameter(torch.full((width,), layer_scale)) for _ in range(2)
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, visible: Tensor, position: Tensor, bias: Tensor | None) -> Tensor:
        """Queries (B, M, D) and visible patches (B, N, D) -> queries (B, M, D).

        Positions are of both, queries first, (B, M + N, D).
        """
        tokens = torch.cat([x, visible], dim=1)
        query = self.norm_query(x + position[:, : x.shape[1]])
        key, value = self.norm_key(tokens + position), self.norm_value(tokens)
        x = self.norm_mlp(x + self.drop_path(self.gamma_1 * self.cross(query, key, bias, value)))
        return x + self.drop_path(self.gamma_2 * self.mlp(x))


class Regressor(nn.Module):
    """Latents of masked patches, regressed from those of visible patches by cross-attention.

    Prefix tokens are not looked at. Weights start as the release's (lxtGH/CAE,
    models/modeling_cae.py: _init_weights).

    Args:
        width: channels of the encoder's tokens, and of its own.
        depth: blocks.
        heads, mlp_ratio: of a block.
        layer_scale: what each branch is multiplied by at first, one learned number a channel.
        drop_path: rate of stochastic depth in the last block, rising linearly from 0 in the first.

    Raises:
        ValueError: where the heads do not divide the width.
    """

    def __init__(
        self,
        width: int,
        depth: Count = 4,
        heads: Count = 12,
        mlp_ratio: Positive = 4.0,
        layer_scale: Positive = 0.1,
        drop_path: Rate = 0.0,
    ):
        super().__init__()
        check_heads("Regressor", width, heads, "model.regressor.heads")
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.blocks = nn.ModuleList(
            RegressorBlock(width, heads, mlp_ratio, layer_scale, rate)
            for rate in rising_rates(drop_path, depth)
        )
        self.norm = Norm(width)
        self.apply(initialise_mae)
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)

    def forward(self, visible: Tensor, position: Tensor, valid: Tensor | None) -> Tensor:
        """Encoded visible patches (B, Lv, D) -> latents of the masked ones (B, Lm, D), normalised.

        Args:
            visible: without prefix tokens.
            position: of masked patches, then of visible ones (B, Lm + Lv, D).
            valid: which of those are none of padding (B, Lm + Lv); None for all.
        """
        Lm = position.shape[1] - visible.shape[1]
        x = self.mask_token.to(visible.dtype).expand(len(visible), Lm, -1)
        bias = None if valid is None else padding_bias(valid)
        for block in self.blocks:
            x = block(x, visible, position, bias)
        return self.norm(x)
