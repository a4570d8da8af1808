"""Decoder whose mask tokens look at encoded patches and not at each other (CrossMAE, arXiv
2401.14391).
"""

from collections.abc import Sequence

import torch
from timm.layers import Mlp
from torch import Tensor, nn
from torch.nn.functional import pad

from mim.encoder.attention import Norm
from mim.encoder.blocks import check_number
from mim.encoder.initialise import initialise_mae
from mim.encoder.padding import padding_bias
from mim.encoder.positions import positions_at, sincos_positions
from mim.geometry import check_heads
from mim.masker.split import Split
from mim.model.cross_decoder import Attention
from mim.ranges import Count, NonNegativeInt, Positive


class QueryBlock(nn.Module):
    """Block of the decoder: mask tokens look at what the encoder made, then each is changed.

    With `self_attention` they look at each other first, as a row of the paper's comparison has it.
    """

    def __init__(
        self, width: int, context_width: int, heads: int, mlp_ratio: float, self_attention: bool
    ):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = Norm(width), Norm(width), Norm(context_width)
        self.cross, self.mlp = (
            Attention(width, context_width, heads),
            Mlp(width, int(width * mlp_ratio)),
        )
        self.norm0 = Norm(width) if self_attention else None
        self.attn = Attention(width, width, heads) if self_attention else None

    def forward(
        self, x: Tensor, context: Tensor, bias: Tensor | None, context_bias: Tensor | None
    ) -> Tensor:
        """(B, M, D) that look at (B, N, C) -> (B, M, D)."""
        if self.norm0 is not None and self.attn is not None:
            around = self.norm0(x)
            x = x + self.attn(around, around, bias)
        x = x + self.cross(self.norm1(x), self.norm3(context), context_bias)
        return x + self.mlp(self.norm2(x))


class QueryDecoder(nn.Module):
    """Predict the values of masked patches, each by itself, from a learned sum of the encoder's
    blocks for each decoder block.

    As no mask token sees another, any part of them can be left out: masker/partition=throw_middle
    throws the others away. The sums' weights start by Xavier as all linear layers do: the release
    draws them from a normal of deviation 1 / sqrt(blocks) first and overwrites that
    (TonyLianLong/CrossMAE, models_cross.py: initialize_weights). The encoder's final norm has no
    part in it and is not trained.

    Args:
        encoder_width: channels of the encoder's tokens.
        grid: rows and columns of patches.
        target_dim: values per patch.
        encoder_depth: blocks of the encoder.
        width, depth, heads, mlp_ratio: of the decoder's blocks.
        blocks: numbers of the encoder's blocks that are summed, from 1, and 0 for what enters the
            first; null for all.
        self_attention: whether mask tokens look at each other as well.

    Raises:
        ValueError: where the heads do not divide the width, or the encoder has no such block.
    """

    def __init__(
        self,
        encoder_width: int,
        grid: tuple[int, int],
        target_dim: int,
        encoder_depth: int,
        width: Count = 512,
        depth: Count = 12,
        heads: Count = 16,
        mlp_ratio: Positive = 4.0,
        blocks: Sequence[NonNegativeInt] | None = None,
        self_attention: bool = False,
    ):
        super().__init__()
        check_heads("QueryDecoder", width, heads)
        numbers = sorted(set(range(encoder_depth + 1) if blocks is None else blocks))
        self.looks_at = [check_number(number, encoder_depth, least=0) for number in numbers]
        self.weigh = nn.Linear(len(self.looks_at), depth, bias=False)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.grid = grid
        self.pos_embed = nn.Parameter(
            sincos_positions(width, grid).float()[None], requires_grad=False
        )
        self.blocks = nn.ModuleList(
            QueryBlock(width, encoder_width, heads, mlp_ratio, self_attention) for _ in range(depth)
        )
        self.norm = Norm(width)
        self.predict = nn.Linear(width, target_dim)
        self.apply(initialise_mae)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, left: Tensor, split: Split, grid: tuple[int, int] | None = None) -> Tensor:
        """Tokens that left the blocks `looks_at`, prefix first (blocks, B * K, R + Lv, D) ->
        predictions (B, K, Lm, P).
        """
        B, K, _ = split.masked.shape
        contexts = (self.weigh.weight.to(left.dtype) @ left.flatten(1)).view(-1, *left.shape[1:])
        positions = positions_at(self.pos_embed, 1, self.grid, grid or self.grid)[0]
        x = (self.mask_token + positions[split.masked + 1].flatten(0, 1)).to(left.dtype)
        bias, context_bias = None, None
        if split.masked_valid is not None:
            bias = padding_bias(split.masked_valid.flatten(0, 1))
        if split.visible_valid is not None:
            prefix = left.shape[2] - split.visible.shape[-1]
            context_bias = padding_bias(
                pad(split.visible_valid.flatten(0, 1), (prefix, 0), value=True)
            )
        for block, context in zip(self.blocks, contexts, strict=True):
            x = block(x, context, bias, context_bias)
        return self.predict(self.norm(x)).unflatten(0, (B, K))
