"""BEiT's transformer (arXiv 2106.08254) as SimMIM uses it (arXiv 2111.09886): relative position
bias, layer scale, no key bias.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

import torch
from timm.models import beit
from torch import Tensor, nn

from mim.encoder.attention import Norm, Wanted
from mim.encoder.beit_bias import biases_of, run_in_grid_order
from mim.encoder.beit_block import Block
from mim.encoder.blocks import ImageAttention, check_number, rising_rates, run_blocks, run_for_added
from mim.encoder.initialise import BeitStart, initialise_beit
from mim.encoder.patches import add_positions, project
from mim.encoder.positions import sincos_positions
from mim.geometry import Geometry, check_heads
from mim.ranges import Count, Positive, Rate, Size

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
        layer_scale: what each branch is multiplied by at first, one learned number a channel; 0
            for none.
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
        """A token (1, 1, D) in place of patches at (B, K, M) -> (B, K, M, D), with positions."""
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
        return self.encode_some(tokens, None, index, valid)

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
        return self.run(self.blocks, self._cls_first(tokens), blocks, index, valid, wanted)

    def encode_some(
        self,
        tokens: Tensor,
        wanted: Wanted,
        index: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> Tensor:
        """As `encode`, of the wanted tokens (`pick`): the last block computes no others."""
        (last,) = self.encode_blocks(tokens, [self.depth], index, valid, wanted)
        return self.norm(last)

    def new_blocks(self, rates: Iterable[float]) -> nn.ModuleList:
        """Blocks of its kind and sizes as torch starts them, one for each rate of `drop_path`."""
        return nn.ModuleList(self._new_block(drop_path=rate) for rate in rates)

    def run(
        self,
        blocks: nn.ModuleList,
        x: Tensor,
        numbers: Sequence[int],
        index: Tensor | None = None,
        valid: Tensor | None = None,
        wanted: Wanted = None,
    ) -> list[Tensor]:
        """Tokens x, cls token first, that leave some of its own blocks, or of others of its kind;
        as in `encode_blocks`.

        Others have its shared biases of position, or a table each, as its own have.
        """
        shared = self._shared_table
        if valid is None and index is not None and index.shape[1] == self.geometry.patches:
            biases = biases_of(blocks, shared, self.distance)
            return run_in_grid_order(x, blocks, biases, numbers, index, wanted)
        biases = biases_of(blocks, shared, self.distance, index, valid)
        return run_blocks(x, blocks, biases, numbers, wanted)

    def encode_added(self, tokens: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """What feed-forward networks of some blocks add, each (B, 1 + L, D)."""
        x = self._cls_first(tokens)
        biases = biases_of(self.blocks, self._shared_table, self.distance)
        return run_for_added(x, self.blocks, biases, blocks)

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
        (bias,) = biases_of([chosen], self._shared_table, self.distance)
        return chosen, bias

    def forward(self, image: Tensor) -> Tensor:
        """Whole images (B, C, H, W) -> cls token first (B, 1 + L, D), normalised."""
        return self.encode(self.embed(image))

    def no_weight_decay(self) -> set[str]:
        """Matrices that are not decayed, as SimMIM has it (optimizer.py): tables of biases are."""
        return {"cls_token", "pos_embed"}

    def _add_positions(self, tokens: Tensor, index: Tensor | None) -> Tensor:
        if self.pos_embed is None:
            return tokens
        return add_positions(tokens, index, self.pos_embed[:, 1:])

    def _cls_first(self, tokens: Tensor) -> Tensor:
        cls = self.cls_token if self.pos_embed is None else self.cls_token + self.pos_embed[:, :1]
        return torch.cat([cls.to(tokens.dtype).expand(tokens.shape[0], -1, -1), tokens], dim=1)

    @property
    def _shared_table(self) -> Tensor | None:
        """Biases (T, A) of all blocks that have no table of their own."""
        return None if self.rel_pos_bias is None else self.rel_pos_bias.relative_position_bias_table
