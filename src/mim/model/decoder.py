"""MAE's decoder on index sets: visible tokens and mask tokens, each with its position, in any order
(arXiv 2111.06377).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from mim.encoder.attention import Block, Norm
from mim.encoder.initialise import Start, initialise_dino, initialise_mae
from mim.encoder.padding import Lengths, padding
from mim.encoder.positions import positions_at, sincos_positions
from mim.geometry import check_heads
from mim.masker.split import Split
from mim.model.packing import pack
from mim.ranges import Count, Positive, in_range
from mim.tokens import take


class Decoder(nn.Module):
    """Predict the values of masked patches from the encoded visible ones.

    A transformer does not care about the order of its tokens once positions are added, so nothing
    is unshuffled, and only masked tokens pass the last block's attention and reach the predictor.

    Args:
        encoder_width: channels of the encoder's tokens.
        grid: rows and columns of patches.
        target_dim: values per patch.
        width, depth, heads, mlp_ratio: of the decoder's blocks.
        start: how weights are drawn, as in `mim.encoder.initialise`.
        positions: fixed sines and cosines, or learned from a normal of deviation 0.02 (Pixio).
        prefix: learned positions of tokens before the patches; those that there are more of share
            the last.

    Raises:
        ValueError: where the heads do not divide the width, there is no block, or fixed positions
            are to have a longer prefix.
    """

    @in_range
    def __init__(
        self,
        encoder_width: int,
        grid: tuple[int, int],
        target_dim: int,
        width: Count = 512,
        depth: Count = 8,
        heads: Count = 16,
        mlp_ratio: Positive = 4.0,
        start: Start = "mae",
        positions: Literal["sincos", "learned"] = "sincos",
        prefix: Count = 1,
    ):
        super().__init__()
        self.grid = grid
        if positions == "sincos" and prefix != 1:
            raise ValueError(
                f"Decoder got prefix={prefix}, positions=sincos; what stands before the patches "
                "has one row of them, zero; "
                "positions=learned has more, e.g. model.decoder.positions=learned"
            )
        check_heads("Decoder", width, heads)
        self.embed = nn.Linear(encoder_width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.prefix = prefix
        if positions == "learned":
            self.pos_embed = nn.Parameter(torch.empty(1, prefix + grid[0] * grid[1], width))
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
        else:
            self.pos_embed = nn.Parameter(
                sincos_positions(width, grid).float()[None], requires_grad=False
            )
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio, qkv_bias=True, norm_layer=Norm) for _ in range(depth)
        )
        self.norm = Norm(width)
        self.predict = nn.Linear(width, target_dim)
        self.apply(initialise_mae if start == "mae" else initialise_dino)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, latent: Tensor, split: Split, grid: tuple[int, int] | None = None) -> Tensor:
        """Encoded tokens, prefix first (B * K, R + Lv, D), and where they stand -> predictions (B,
        K, Lm, P).
        """
        B, K, Lm = split.masked.shape
        x, bias, _ = self.enter(latent, split, grid)
        for block in self.blocks[:-1]:
            x = block(x, bias)
        return self.predict(self.norm(self.blocks[-1](x, bias, wanted=Lm))).unflatten(0, (B, K))

    def enter(
        self, latent: Tensor, split: Split, grid: tuple[int, int] | None = None
    ) -> tuple[Tensor, Tensor | Lengths | None, Tensor | None]:
        """What enters the first block: masked, prefix and visible tokens, each with its position,
        (B * K, M, width).

        Where there is padding, also what hides it, and the order (B * K, M) that puts it last.
        """
        B, K, Lm = split.masked.shape
        visible = self.embed(latent)
        masked = self.mask_token.to(visible.dtype).expand(B * K, Lm, -1)
        prefix = latent.shape[1] - split.visible.shape[-1]
        first = (
            torch.arange(prefix, device=visible.device).clamp(max=self.prefix - 1).expand(B, K, -1)
        )
        places = torch.cat([split.masked + self.prefix, first, split.visible + self.prefix], dim=-1)
        positions = self.positions(grid)
        position = positions[0].to(visible.dtype)[places]
        x = torch.cat([masked, visible], dim=1) + position.flatten(0, 1)
        valid = split.valid()
        if valid is None:
            return x, None, None
        valid = torch.cat(
            [valid[..., :Lm], torch.ones_like(first, dtype=torch.bool), valid[..., Lm:]], dim=-1
        )
        order, valid = pack(valid.flatten(0, 1), most=prefix + positions.shape[1] - self.prefix)
        x = take(x, order[:, None])[:, 0]
        return x, padding(valid, x), order

    def positions(self, grid: tuple[int, int] | None) -> Tensor:
        """Positions of a grid, null for the decoder's own: prefix first (1, prefix + L, width)."""
        return positions_at(self.pos_embed, self.prefix, self.grid, grid or self.grid)
