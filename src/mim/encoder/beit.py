"""BEiT's transformer (arXiv 2106.08254) as SimMIM uses it (arXiv 2111.09886): relative position bias, layer scale, no key bias."""

from functools import partial
from typing import Literal

import torch
from timm.layers import to_2tuple
from timm.models import beit
from torch import Tensor, nn
from torch.nn.functional import linear

from mim.encoder.attention import attend, cls_row
from mim.encoder.initialise import initialise_simmim
from mim.encoder.padding import padding_bias, with_cls
from mim.encoder.patches import add_positions, project
from mim.ranges import Count, Positive, Rate
from mim.tokens import grid_of, take


class BiasedAttention(beit.Attention):
    """timm's attention of BEiT, with its parameters and key names, given the bias of the tokens that are there."""

    def forward(self, x: Tensor, shared_rel_pos_bias: Tensor | None = None) -> Tensor:
        """(B, M, D), bias (B or 1, A, M, M) -> (B, M, D)."""
        B, M, _ = x.shape
        qkv = linear(x, self.qkv.weight, self._no_key_bias()).view(B, M, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(attend(query, key, value, shared_rel_pos_bias).transpose(1, 2).flatten(2))

    def cls_row(self, x: Tensor, shared_rel_pos_bias: Tensor | None = None) -> Tensor:
        """What the first token attends to among the others: (B, 1 + L, D), bias (1, A, 1 + L, 1 + L) -> (B, A, L)."""
        bias = None if shared_rel_pos_bias is None else shared_rel_pos_bias[:, :, :1]
        return cls_row(x, self.qkv.weight, self._no_key_bias(), self.num_heads, bias)

    def _no_key_bias(self) -> Tensor:
        return torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])


class Block(beit.Block):
    """timm's block of BEiT over `BiasedAttention`."""

    def __init__(
        self,
        width: Count,
        heads: Count,
        mlp_ratio: float,
        drop_path: float,
        layer_scale: float,
        window: tuple[int, int] | None,
    ):
        norm = partial(nn.LayerNorm, eps=1e-6)
        super().__init__(width, heads, True, mlp_ratio, drop_path=drop_path, init_values=layer_scale, norm_layer=norm)  # type: ignore[arg-type]
        self.attn = BiasedAttention(width, heads, qkv_bias=True, window_size=window)


class Beit(beit.Beit):
    """A ViT that is told how far apart two patches are; parameters and key names are timm's.

    It runs on any subset of patches: a table of biases by distance is looked up for the patches that are there.

    Args:
        image_size: pixels per side, or (height, width).
        patch_size: pixels per side of a patch.
        width: channels of a token.
        depth: number of blocks.
        heads: attention heads per block.
        positions: "shared_bias" is one table of relative position biases for all blocks (SimMIM's pre-training),
            "block_bias" one for each block (its fine-tuning), "absolute" learned embeddings added to the tokens (AMT's SimMIM).
        mlp_ratio: hidden width of each MLP over `width`.
        layer_scale: what each branch is multiplied by at first, one learned number a channel.
        drop_path: rate of stochastic depth in the last block, rising linearly from 0 in the first.

    Raises:
        ValueError: where the patch size does not divide the image, or the heads the width.
    """

    blocks: nn.ModuleList
    distance: Tensor

    def __init__(
        self,
        image_size: int | tuple[int, int],
        patch_size: Count,
        width: Count,
        depth: Count,
        heads: Count,
        positions: Literal["shared_bias", "block_bias", "absolute"] = "shared_bias",
        mlp_ratio: Positive = 4.0,
        layer_scale: float = 0.1,
        drop_path: Rate = 0.0,
    ):
        size = to_2tuple(image_size)
        grid = grid_of(size, patch_size)
        if width % heads:
            raise ValueError(f"Beit got width={width}, heads={heads}; the heads must divide the width")
        super().__init__(
            img_size=size,
            patch_size=patch_size,
            embed_dim=width,
            depth=0,  # the blocks are ours
            num_heads=heads,
            num_classes=0,
            global_pool="",
            norm_layer=partial(nn.LayerNorm, eps=1e-6),  # type: ignore[arg-type]
            use_abs_pos_emb=positions == "absolute",
            use_shared_rel_pos_bias=positions == "shared_bias",
        )
        window = grid if positions == "block_bias" else None
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, rate, layer_scale, window) for rate in rates)
        self.grid, self.patch_size, self.width = grid, patch_size, width
        distance = beit.gen_relative_position_index(grid)  # (1 + L, 1 + L), a row of the table
        self.register_buffer("distance", distance, persistent=False)
        initialise_simmim(self)

    def embed(self, image: Tensor, index: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W) -> all tokens (B, L, D), or only those at indices (B, K, M) -> (B, K, M, D)."""
        return self._add_positions(project(image, index, self.patch_embed.proj), index)

    def place(self, token: Tensor, index: Tensor) -> Tensor:
        """One token in place of many patches: (1, 1, D) at indices (B, K, M) -> (B, K, M, D), each with its position."""
        return self._add_positions(token.expand(*index.shape, -1), index)

    def new_token(self) -> nn.Parameter:
        """A learnable token (1, 1, D), initialised as this encoder's own."""
        return nn.Parameter(nn.init.trunc_normal_(torch.empty_like(self.cls_token), std=0.02, a=-0.02, b=0.02))

    def encode(self, tokens: Tensor, index: Tensor | None = None, valid: Tensor | None = None) -> Tensor:
        """Tokens of a subset of patches (B, M, D), and where they stand (B, M) -> cls token first (B, 1 + M, D), normalised.

        Without `index` they are all patches, in order. Tokens that are not `valid` (B, M) influence no other.
        """
        if valid is None and index is not None and index.shape[1] == self.grid[0] * self.grid[1]:
            # All patches, in some order: put into the order of the grid, every image shares one lookup of the biases.
            encoded = self.encode(take(tokens, index.argsort(dim=1)[:, None])[:, 0])
            return torch.cat([encoded[:, :1], take(encoded[:, 1:], index[:, None])[:, 0]], dim=1)
        x = self._cls_first(tokens)
        padding = None if valid is None else padding_bias(with_cls(valid))
        for block, bias in zip(self.blocks, self._biases(index), strict=True):
            x = block(x, _sum(bias, padding))
        return self.norm(x)

    def cls_attention(self, image: Tensor) -> Tensor:
        """What the cls token of the last block attends to in whole images, that one row only: (B, 3, H, W) -> (B, A, L)."""
        x = self._cls_first(self.embed(image))
        *before, (last, bias) = zip(self.blocks, self._biases(None), strict=True)
        for block, its_bias in before:
            x = block(x, its_bias)
        return last.attn.cls_row(last.norm1(x), bias)  # type: ignore[operator, union-attr]

    def forward(self, image: Tensor) -> Tensor:
        """Features of the whole image: (B, 3, H, W) -> cls token first (B, 1 + L, D), normalised."""
        return self.encode(self.embed(image))

    def no_weight_decay(self) -> set[str]:
        """Matrices that are not decayed, as SimMIM has it (optimizer.py): tables of biases are."""
        return {"cls_token", "pos_embed"}

    def _add_positions(self, tokens: Tensor, index: Tensor | None) -> Tensor:
        return tokens if self.pos_embed is None else add_positions(tokens, index, self.pos_embed[:, 1:])

    def _cls_first(self, tokens: Tensor) -> Tensor:
        cls = self.cls_token if self.pos_embed is None else self.cls_token + self.pos_embed[:, :1]
        return torch.cat([cls.to(tokens.dtype).expand(tokens.shape[0], -1, -1), tokens], dim=1)

    def _biases(self, index: Tensor | None) -> list[Tensor | None]:
        """The bias of each block (B or 1, A, 1 + M, 1 + M), or None, for the patches at (B, M) or for all."""
        distance = self._distance(index)
        shared = (
            None if self.rel_pos_bias is None else _look_up(self.rel_pos_bias.relative_position_bias_table, distance)
        )
        tables = (block.attn.relative_position_bias_table for block in self.blocks)  # type: ignore[union-attr]
        return [shared if table is None else _look_up(table, distance) for table in tables]  # type: ignore[arg-type]

    def _distance(self, index: Tensor | None) -> Tensor:
        """Row of the table for each pair of tokens, cls first: patches (B, M) -> (B, 1 + M, 1 + M); of all patches, B = 1."""
        if index is None:
            return self.distance[None]
        token = torch.cat([index.new_zeros(len(index), 1), index + 1], dim=1)
        return self.distance[token[:, :, None], token[:, None, :]]


def _look_up(table: Tensor, distance: Tensor) -> Tensor:
    """Table (T, A), rows (B, M, M) -> biases (B, A, M, M)."""
    return table[distance].permute(0, 3, 1, 2)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b
