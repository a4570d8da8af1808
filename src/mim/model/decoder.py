"""MAE's decoder on index sets: visible tokens and mask tokens, each with its position, in any order (arXiv 2111.06377)."""

from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from mim.encoder.attention import Attention
from mim.encoder.initialise import initialise_mae
from mim.encoder.positions import sincos_positions
from mim.masker.split import Split
from mim.tokens import take


class Decoder(nn.Module):
    """Predict the values of masked patches from the encoded visible ones.

    A transformer does not care about the order of its tokens once positions are added, so nothing is unshuffled, and only
    masked tokens reach the predictor.

    Args:
        encoder_width: channels of the encoder's tokens.
        grid: rows and columns of patches.
        target_dim: values per patch.
        width, depth, heads, mlp_ratio: of the decoder's blocks.
    """

    def __init__(
        self,
        encoder_width: int,
        grid: tuple[int, int],
        target_dim: int,
        width: int = 512,
        depth: int = 8,
        heads: int = 16,
        mlp_ratio: float = 4.0,
    ):
        super().__init__()
        if width % heads:
            raise ValueError(f"Decoder got width={width}, heads={heads}; the heads must divide the width")
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.embed = nn.Linear(encoder_width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(sincos_positions(width, grid).float()[None], requires_grad=False)
        self.blocks = nn.Sequential(
            *(Block(width, heads, mlp_ratio, qkv_bias=True, norm_layer=norm, attn_layer=Attention) for _ in range(depth))
        )
        self.norm = norm(width)
        self.predict = nn.Linear(width, target_dim)
        self.apply(initialise_mae)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, latent: Tensor, split: Split) -> Tensor:
        """Encoded tokens, cls first (B * K, 1 + Lv, D), and where they stand -> predictions (B, K, Lm, P)."""
        B, K, Lm = split.masked.shape
        x = self.embed(latent)
        position = self.pos_embed.to(x.dtype).expand(B, -1, -1)
        visible = x[:, 1:] + take(position, split.visible + 1).flatten(0, 1)
        masked = (self.mask_token.to(x.dtype) + take(position, split.masked + 1)).flatten(0, 1)
        x = self.blocks(torch.cat([x[:, :1] + self.pos_embed[:, :1].to(x.dtype), visible, masked], dim=1))
        return self.predict(self.norm(x[:, -Lm:])).unflatten(0, (B, K))
