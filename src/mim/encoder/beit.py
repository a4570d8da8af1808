"""BEiT's transformer (arXiv 2106.08254) as SimMIM uses it (arXiv 2111.09886): relative position
bias, layer scale, no key bias.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

import torch
from timm.models import beit
from torch import Tensor, nn

from mim.encoder.attention import Norm, Wanted, pick
from mim.encoder.beit_block import Block
from mim.encoder.blocks import ImageAttention, check_number, rising_rates, run_blocks, run_for_added
from mim.encoder.initialise import BeitStart, initialise_beit
from mim.encoder.padding import padding_bias, with_cls
from mim.encoder.patches import add_positions, project
from mim.encoder.positions import sincos_positions
from mim.geometry import Geometry, check_heads
from mim.ranges import Count, Positive, Rate, Size
from mim.tokens import take

Positions = Literal[
    "shared_bias",
    "block_bias",
    "absolute",
    "absolute_and_block_bias",
    "sincos_rows_first",
    "sincos_rows_first_and_block_bias",
]
"""What tells a Beit where patches are: biases of attention by distance, embeddings, or both."""


class Beit(ImageAttention, beit.Beit):
    """A ViT that is told how far apart two patches are; parameters and key names are timm's.

    It runs on any subset of patches: a table of biases by distance is looked up for the patches
    that are there.

    Args:
        image_size: pixels per side, or (height, width).
        patch_size: pixels per side of a patch, or (height, width).
        width: channels of a token.
        depth: number of blocks.
        heads: attention heads per block.
        positions: "shared_bias" is one table of relative position biases for all blocks (SimMIM's
            pre-training), "block_bias" one for each block (its fine-tuning), "absolute" learned
            embeddings added to the tokens (AMT's SimMIM), "absolute_and_block_bias" both (MAE's
            segmentation: mmsegmentation, backbones/mae.py), "sincos_rows_first" fixed sines and
            cosines (CAE's pre-training), "sincos_rows_first_and_block_bias" those and a table for
            each block (its fine-tuning).
        mlp_ratio: hidden width of each MLP over `width`.
        layer_scale: what each branch is multiplied by at first, one learned number a channel.
        drop_path: rate of stochastic depth in the last block, rising linearly from 0 in the first.
        channels: C, of an image.
        attention_dropout: probability that a weight of attention is left out in training
            (data2vec).
        start: how weights begin: as those of SimMIM, or of CAE (`mim.encoder.initialise`).

    Raises:
        ValueError: where the patch size does not divide the image, or the heads the width.
    """

    blocks: nn.ModuleList
    distance: Tensor

    def __init__(
        self,
        image_size: Size,
        patch_size: Size,
        width: Count,
        depth: Count,
        heads: Count,
        positions: Positions = "shared_bias",
        mlp_ratio: Positive = 4.0,
        layer_scale: float = 0.1,
        drop_path: Rate = 0.0,
        channels: Count = 3,
        attention_dropout: Rate = 0.0,
        start: BeitStart = "simmim",
    ):
        geometry = Geometry.of(image_size, patch_size, channels)
        check_heads("Beit", width, heads)
        super().__init__(
            img_size=geometry.image_size,
            in_chans=channels,
            patch_size=geometry.patch_size,
            embed_dim=width,
            depth=0,  # the blocks are ours
            num_heads=heads,
            num_classes=0,
            global_pool="",
            norm_layer=Norm,
            use_abs_pos_emb=positions.startswith(("absolute", "sincos")),
            use_shared_rel_pos_bias=positions == "shared_bias",
        )
        self._new_block = partial(
            Block,
            width,
            heads,
            mlp_ratio,
            layer_scale=layer_scale,
            window=geometry.grid if positions.endswith("block_bias") else None,
            attention_dropout=attention_dropout,
        )
        self.blocks = self.new_blocks(rising_rates(drop_path, depth))
        self.geometry = geometry
        self.width, self.heads, self.prefix = width, heads, 1
        # (1 + L, 1 + L), a row of the table
        distance = beit.gen_relative_position_index(geometry.grid)
        self.register_buffer("distance", distance, persistent=False)
        initialise_beit(self, start)
        if positions.startswith("sincos"):  # a buffer, so that fine-tuning leaves them as they are
            del self.pos_embed
            table = sincos_positions(width, geometry.grid, rows_first=True)
            self.register_buffer("pos_embed", table.float()[None])

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def embed(self, image: Tensor, index: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) -> all tokens (B, L, D), or only those at indices (B, K, M) -> (B, K,
        M, D).
        """
        return self._add_positions(project(image, index, self.patch_embed.proj), index)

    def position_token(self, token: Tensor, index: Tensor) -> Tensor:
        """One token in place of many patches: (1, 1, D) at indices (B, K, M) -> (B, K, M, D), each
        with its position.
        """
        return self._add_positions(token.expand(*index.shape, -1), index)

    def new_token(self) -> nn.Parameter:
        """A learnable token (1, 1, D), initialised as this encoder's own."""
        return nn.Parameter(
            nn.init.trunc_normal_(torch.empty_like(self.cls_token), std=0.02, a=-0.02, b=0.02)
        )

    def encode(
        self, tokens: Tensor, index: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Tokens of a subset of patches (B, M, D) -> cls token first (B, 1 + M, D), normalised.

        Without `index` they are all patches, in order. Padding (`valid`) may stand anywhere.
        """
        (last,) = self.encode_blocks(tokens, [self.depth], index, valid)
        return self.norm(last)

    def encode_blocks(
        self,
        tokens: Tensor,
        blocks: Sequence[int],
        index: Tensor | None = None,
        valid: Tensor | None = None,
        wanted: Wanted = None,
    ) -> list[Tensor]:
        """Tokens that leave some blocks, each (B, 1 + M, D), not normalised; of the last of these
        blocks those that are wanted (`pick`), and no others are computed.
        """
        return self._run(self.blocks, self._cls_first(tokens), blocks, index, valid, wanted)

    def encode_some(
        self,
        tokens: Tensor,
        wanted: Wanted,
        index: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> Tensor:
        """Encoded tokens that are wanted (`pick`), normalised: of the last block no others are
        computed.
        """
        (last,) = self.encode_blocks(tokens, [self.depth], index, valid, wanted)
        return self.norm(last)

    def new_blocks(self, rates: Iterable[float]) -> nn.ModuleList:
        """Blocks of its own kind and sizes, one for each rate of stochastic depth, as torch starts
        them.
        """
        return nn.ModuleList(self._new_block(drop_path=rate) for rate in rates)

    def run_beside(
        self,
        blocks: nn.ModuleList,
        tokens: Tensor,
        index: Tensor | None = None,
        valid: Tensor | None = None,
        wanted: Wanted = None,
    ) -> Tensor:
        """Tokens, cls token first, through other blocks of its kind: (B, 1 + M, D), and so out, or
        those that are wanted (`pick`).

        They have its shared biases of position, or a table each, as its own have; indices and
        padding are as in `encode`.
        """
        (last,) = self._run(blocks, tokens, [len(blocks)], index, valid, wanted)
        return last

    def _run(
        self,
        blocks: nn.ModuleList,
        x: Tensor,
        numbers: Sequence[int],
        index: Tensor | None,
        valid: Tensor | None,
        wanted: Wanted,
    ) -> list[Tensor]:
        """Tokens, cls token first, that leave the blocks of these numbers."""
        if valid is not None or index is None or index.shape[1] != self.geometry.patches:
            return run_blocks(x, blocks, self._padded(blocks, index, valid), numbers, wanted)
        # All patches, in some order: put into that of the grid, images share their biases.
        x, biases = _reorder(x, index.argsort(dim=1)[:, None]), self._padded(blocks, None, None)
        if wanted is None:
            left = run_blocks(x, blocks, biases, numbers)
            return [_reorder(each, index[:, None]) for each in left]
        start = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
        chosen = pick(start + _tokens(index), wanted)
        left = run_blocks(x, blocks, biases, numbers, chosen.flatten())
        return [
            each.unflatten(0, chosen.shape)
            if number == max(numbers)
            else _reorder(each, index[:, None])
            for number, each in zip(numbers, left, strict=True)
        ]

    def encode_added(self, tokens: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """What feed-forward networks of some blocks add, each (B, 1 + L, D)."""
        x = self._cls_first(tokens)
        return run_for_added(x, self.blocks, self._biases(self.blocks, None), blocks)

    def block_attention(
        self,
        tokens: Tensor,
        queries: Sequence[int] | None = None,
        block: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Attention (B, A, queries, 1 + L), of tokens (B, 1 + L, D) that enter the block."""
        chosen, bias = self._block(block)
        return chosen.attn.rows(chosen.norm1(tokens), bias, queries, dtype)

    def block_update(self, tokens: Tensor, block: int | None = None) -> Tensor:
        """What the block's attention adds to the tokens (B, 1 + L, D) that enter it."""
        chosen, bias = self._block(block)
        return chosen.update(tokens, bias)

    def _block(self, number: int | None) -> tuple[Block, Tensor | None]:
        """A block and its bias, of all patches."""
        chosen = self.blocks[check_number(number, self.depth, "Beit") - 1]
        assert isinstance(chosen, Block)
        table = chosen.attn.relative_position_bias_table
        if table is None and self.rel_pos_bias is not None:
            table = self.rel_pos_bias.relative_position_bias_table
        return chosen, None if table is None else _look_up(table, self.distance[None])

    def forward(self, image: Tensor) -> Tensor:
        """Features of the whole image: (B, C, H, W) -> cls token first (B, 1 + L, D),
        normalised.
        """
        return self.encode(self.embed(image))

    def no_weight_decay(self) -> set[str]:
        """Matrices that are not decayed, as SimMIM has it (optimizer.py): tables of biases are."""
        return {"cls_token", "pos_embed"}

    def _add_positions(self, tokens: Tensor, index: Tensor | None) -> Tensor:
        return (
            tokens
            if self.pos_embed is None
            else add_positions(tokens, index, self.pos_embed[:, 1:])
        )

    def _cls_first(self, tokens: Tensor) -> Tensor:
        cls = self.cls_token if self.pos_embed is None else self.cls_token + self.pos_embed[:, :1]
        return torch.cat([cls.to(tokens.dtype).expand(tokens.shape[0], -1, -1), tokens], dim=1)

    def _padded(
        self, blocks: nn.ModuleList, index: Tensor | None, valid: Tensor | None
    ) -> list[Tensor | None]:
        """The bias of each block, which hides padding too."""
        padding = None if valid is None else padding_bias(with_cls(valid))
        return [_sum(bias, padding) for bias in self._biases(blocks, index)]

    def _biases(self, blocks: nn.ModuleList, index: Tensor | None) -> list[Tensor | None]:
        """The bias of each block (B or 1, A, 1 + M, 1 + M), or None, for the patches at (B, M) or
        for all.
        """
        distance = self._distance(index)
        shared = (
            None
            if self.rel_pos_bias is None
            else _look_up(self.rel_pos_bias.relative_position_bias_table, distance)
        )
        biased = (block for block in blocks if isinstance(block, Block))
        tables = (block.attn.relative_position_bias_table for block in biased)
        return [shared if table is None else _look_up(table, distance) for table in tables]

    def _distance(self, index: Tensor | None) -> Tensor:
        """Row of the table for each pair of tokens, cls first: patches (B, M) -> (B, 1 + M, 1 + M);
        of all patches, B = 1.
        """
        if index is None:
            return self.distance[None]
        token = _tokens(index)
        return self.distance[token[:, :, None], token[:, None, :]]


def _tokens(index: Tensor) -> Tensor:
    """Numbers of the tokens of an image: patches (B, M) -> (B, 1 + M), that of the cls token, 0,
    first.
    """
    return torch.cat([index.new_zeros(len(index), 1), index + 1], dim=1)


def _look_up(table: Tensor, distance: Tensor) -> Tensor:
    """Table (T, A), rows (B, M, M) -> biases (B, A, M, M)."""
    return table[distance].permute(0, 3, 1, 2)


def _reorder(tokens: Tensor, order: Tensor) -> Tensor:
    """Patches of (B, 1 + M, D) by their numbers (B, 1, M), the cls token still first."""
    return torch.cat([tokens[:, :1], take(tokens[:, 1:], order)[:, 0]], dim=1)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b
