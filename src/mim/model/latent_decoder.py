"""Decoder of latents: self-attention among masked patches alone (CAE, arXiv 2202.03026)."""

from torch import Tensor, nn

from mim.encoder.attention import Norm
from mim.encoder.beit_block import Block
from mim.encoder.blocks import rising_rates
from mim.encoder.initialise import initialise_mae
from mim.encoder.padding import padding_bias
from mim.geometry import check_heads
from mim.ranges import Count, Positive, Rate


class LatentDecoder(nn.Module):
    """Predict the values of masked patches from latents of them, which a regressor made.

    Blocks are BEiT's, without biases of position. Weights start as the release's (lxtGH/CAE,
    models/modeling_cae.py: _init_weights).

    Args:
        width: channels of the latents.
        target_dim: values per patch.
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
        target_dim: int,
        depth: Count = 4,
        heads: Count = 12,
        mlp_ratio: Positive = 4.0,
        layer_scale: Positive = 0.1,
        drop_path: Rate = 0.0,
    ):
        super().__init__()
        check_heads("LatentDecoder", width, heads, "model.decoder.heads")
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio, rate, layer_scale, None, 0.0)
            for rate in rising_rates(drop_path, depth)
        )
        self.norm = Norm(width)
        self.predict = nn.Linear(width, target_dim)
        self.apply(initialise_mae)

    def forward(self, latent: Tensor, position: Tensor, valid: Tensor | None) -> Tensor:
        """Latents of masked patches and their positions, (B, Lm, D) each -> predictions (B, Lm, P).

        `valid` (B, Lm) says which are none of padding; None for all.
        """
        bias = None
        if valid is not None:
            # An image of which nothing is masked looks at its padding, and counts for nothing.
            bias = padding_bias(valid | ~valid.any(dim=1, keepdim=True))
        x = latent + position
        for block in self.blocks:
            x = block(x, bias)
        return self.predict(self.norm(x))
