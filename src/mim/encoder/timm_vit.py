"""timm's vision transformers as they are, split into `embed` and `encode`: rotary positions,
registers, SwiGLU and all.

Sources: timm/models/vision_transformer.py (VisionTransformer) and timm/models/eva.py (Eva):
`forward_features`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from timm.models.eva import Eva
from torch import Tensor, nn

from mim.encoder.blocks import Bias, ImageAttention, check_number, run_blocks
from mim.encoder.padding import padding_bias
from mim.encoder.patches import add_positions, project
from mim.encoder.timm_attention import attention_of, update_of
from mim.encoder.timm_model import as_transformer, create, heads_of
from mim.geometry import Geometry, check_heads, pair
from mim.plain import Settings
from mim.ranges import Count, NonNegativeInt, Positive, Rate, Size


@runtime_checkable
class _Rotary(Protocol):
    """Rotary positions of timm."""

    def get_embed(self, shape: list[int]) -> Tensor: ...


class TimmViT(ImageAttention, nn.Module):
    """Vision transformer of timm, by its name; parameters and key names are timm's, without a head.

    Patches that are not asked for are neither embedded nor encoded: rotary positions of the others
    go with them. Tokens are those of timm's `forward_features`: where timm normalises after pooling
    alone (`fc_norm`), `norm` is an identity here as it is there.

    Args:
        name: of an architecture, `vit_small_patch16_dinov3`; the name of weights after a point is
            left out.
        image_size: pixels per side, or (height, width).
        patch_size, width, depth, heads, mlp_ratio, registers: where they are not those of the name.
        drop_path: rate of stochastic depth in the last block, rising linearly from 0 in the first.
        channels: C, of an image.

    Raises:
        ValueError: where timm has no such transformer, it is none that can be split, or sizes do
            not go together.
    """

    positions_of_prefix: int
    """Positions before those of the patches in `pos_embed`."""
    cls_token: nn.Parameter | None
    dist_token: nn.Parameter | None
    reg_token: nn.Parameter | None
    pos_embed: nn.Parameter | None

    def __init__(
        self,
        name: str,
        image_size: Size,
        patch_size: Size | None = None,
        width: Count | None = None,
        depth: Count | None = None,
        heads: Count | None = None,
        mlp_ratio: Positive | None = None,
        registers: NonNegativeInt | None = None,
        drop_path: Rate = 0.0,
        channels: Count = 3,
    ):
        super().__init__()
        patch = None if patch_size is None else pair(patch_size)
        sizes: Settings = {
            "patch_size": patch,
            "embed_dim": width,
            "depth": depth,
            "num_heads": heads,
        }
        sizes |= {"reg_tokens": registers, "in_chans": channels}
        sizes |= {"mlp_ratio": mlp_ratio, "drop_path_rate": drop_path}
        vit = as_transformer(create(name, pair(image_size), sizes), name)
        self.name = name.partition(".")[0]
        self.patch_embed = vit.patch_embed
        own = dict(vit.named_parameters(recurse=False))
        for token in ("cls_token", "dist_token", "reg_token", "pos_embed"):
            self.register_parameter(token, own.get(token))
        rope = vit.rope if isinstance(vit, Eva) else None
        assert rope is None or isinstance(rope, _Rotary)
        self.rope = rope
        self.norm_pre, self.blocks, self.norm = vit.norm_pre, vit.blocks, vit.norm
        self.geometry = Geometry.of(image_size, vit.patch_embed.patch_size, channels)
        self.width, self.heads = int(vit.embed_dim), heads_of(vit)
        check_heads("TimmViT", self.width, self.heads)
        self.prefix = sum(token.shape[1] for token in self._prefix_tokens())
        self.positions_of_prefix = 0 if vit.no_embed_class else self.prefix
        self._undecayed = set(vit.no_weight_decay())

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def embed(self, image: Tensor, index: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) -> all patches (B, L, D), or those at (B, K, M) -> (B, K, M, D).

        Absolute positions are in them; rotary ones come in `encode`.
        """
        tokens = self.patch_embed.norm(project(image, index, self.patch_embed.proj))
        return self._at(tokens, index)

    def position_token(self, token: Tensor, index: Tensor) -> Tensor:
        """One token in place of many patches: (1, 1, D) at indices (B, K, M) -> (B, K, M, D)."""
        return self._at(token.expand(*index.shape, -1), index)

    def _at(self, tokens: Tensor, index: Tensor | None) -> Tensor:
        if self.pos_embed is None:
            return tokens
        return add_positions(tokens, index, self.pos_embed[:, self.positions_of_prefix :])

    def new_token(self) -> nn.Parameter:
        """A learnable token (1, 1, D)."""
        return nn.Parameter(
            self.patch_embed.proj.weight.new_empty(1, 1, self.width).normal_(std=0.02)
        )

    def encode(
        self, tokens: Tensor, index: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Embedded patches (B, M, D) -> their tokens, prefix first (B, R + M, D), normalised."""
        (last,) = self.encode_blocks(tokens, [self.depth], index, valid)
        return self.norm(last)

    def encode_blocks(
        self,
        tokens: Tensor,
        blocks: Sequence[int],
        index: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> list[Tensor]:
        """Tokens that leave some blocks, each (B, R + M, D), not normalised."""
        x = self.norm_pre(torch.cat([self._prefix(tokens), tokens], dim=1))
        bias: Bias = None
        if valid is not None:
            there = torch.cat([valid.new_ones(len(valid), self.prefix), valid], dim=1)
            bias = padding_bias(there).to(x.dtype)
        steps = [self._step(number, index) for number in range(1, self.depth + 1)]
        return run_blocks(x, steps, [bias] * self.depth, blocks)

    def _prefix_tokens(self) -> list[Tensor]:
        """Tokens before the patches, (1, n, D) each: cls, distillation, registers."""
        return [
            token
            for token in (self.cls_token, self.dist_token, self.reg_token)
            if token is not None
        ]

    def _prefix(self, tokens: Tensor) -> Tensor:
        found = self._prefix_tokens()
        if not found:
            return tokens[:, :0]
        prefix = torch.cat(found, dim=1)
        if self.pos_embed is not None and self.positions_of_prefix:
            prefix = prefix + self.pos_embed[:, : self.prefix]
        return prefix.to(tokens.dtype).expand(len(tokens), -1, -1)

    def _step(self, number: int, index: Tensor | None) -> Callable[[Tensor, Bias], Tensor]:
        """Block of a number, from 1, with the rotary positions of the patches that it sees."""
        block = self.blocks[number - 1]
        if self.rope is None:
            return lambda x, bias: block(x, attn_mask=bias)
        rope = self._rotations(number, index)
        return lambda x, bias: block(x, rope=rope, attn_mask=bias)

    def _rotations(self, number: int, index: Tensor | None) -> Tensor:
        """Sines and cosines: (L, 2 d), or of patches (B, M) -> (B, 1 or A, M, 2 d)."""
        assert self.rope is not None
        table = self.rope.get_embed(shape=list(self.geometry.grid))
        if table.dim() == 2:
            return table if index is None else table[index][:, None]
        own = table[number - 1]  # (A, L, 2 d), of each block its own (RoPE-mixed)
        return own if index is None else own[:, index].transpose(0, 1)

    def block_attention(
        self,
        tokens: Tensor,
        queries: Sequence[int] | None = None,
        block: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Attention (B, A, queries, R + L), of tokens (B, R + L, D) that enter the block.

        Raises:
            ValueError: where a block has no softmax over all tokens, or several.
        """
        number = check_number(block, self.depth, "TimmViT")
        rope = None if self.rope is None else self._rotations(number, None)
        return attention_of(self.blocks[number - 1], tokens, rope, queries, dtype)

    def block_update(self, tokens: Tensor, block: int | None = None) -> Tensor:
        """What the block's attention adds to the tokens (B, R + L, D) that enter it.

        Raises:
            ValueError: where attention and feed-forward are one sum.
        """
        number = check_number(block, self.depth, "TimmViT")
        rope = None if self.rope is None else self._rotations(number, None)
        return update_of(self.blocks[number - 1], tokens, rope)

    def no_weight_decay(self) -> set[str]:
        """Positions and tokens, as timm has them."""
        return self._undecayed & {name for name, _ in self.named_parameters()}

    def forward(self, image: Tensor) -> Tensor:
        """Whole images (B, C, H, W) -> prefix tokens, then patches (B, R + L, D), normalised."""
        return self.encode(self.embed(image))
