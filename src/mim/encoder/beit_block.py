"""Block of BEiT over attention that is given biases of the tokens that are there, without a key
bias (arXiv 2106.08254).
"""

from collections.abc import Sequence

import torch
from timm.models import beit
from torch import Tensor
from torch.nn.functional import linear

from mim.encoder.attention import (
    Norm,
    Wanted,
    attend,
    attend_first,
    attention_rows,
    drop_images,
    pick,
)
from mim.ranges import Count


class BiasedAttention(beit.Attention):
    """timm's attention of BEiT, with its parameters and key names, given the bias of the tokens
    that are there.
    """

    def forward(
        self, x: Tensor, shared_rel_pos_bias: Tensor | None = None, wanted: Wanted = None
    ) -> Tensor:
        """(B, M, D), bias (B or 1, A, M or 1, M) -> (B, M, D), or the tokens that are wanted
        (`pick`).
        """
        B, M, _ = x.shape
        drop, bias = self.attn_drop.p if self.training else 0.0, shared_rel_pos_bias
        weight, in_bias, heads = self.qkv.weight, self._no_key_bias(), self.num_heads
        if isinstance(wanted, int) and wanted == 1 and not drop:
            return self.proj(attend_first(x, weight, in_bias, heads, bias))
        qkv = linear(x, weight, in_bias).view(B, M, 3, heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if isinstance(wanted, int):
            query, bias = query[:, :, :wanted], None if bias is None else bias[:, :, :wanted]
        seen = attend(query, key, value, bias, drop).transpose(1, 2).flatten(2)
        return self.proj(pick(seen, wanted))

    def rows(
        self,
        x: Tensor,
        bias: Tensor | None = None,
        queries: Sequence[int] | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """What tokens attend to: (B, M, D), bias (1, A, M, M) -> (B, A, queries, M)."""
        in_bias = self._no_key_bias()
        return attention_rows(x, self.qkv.weight, in_bias, self.num_heads, queries, bias, dtype)

    def _no_key_bias(self) -> Tensor:
        return torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])


class Block(beit.Block):
    """timm's block of BEiT over `BiasedAttention`."""

    attn: BiasedAttention

    def __init__(
        self,
        width: Count,
        heads: Count,
        mlp_ratio: float,
        drop_path: float,
        layer_scale: float,
        window: tuple[int, int] | None,
        attention_dropout: float,
    ):
        super().__init__(
            width,
            heads,
            True,
            mlp_ratio,
            drop_path=drop_path,
            init_values=layer_scale,
            norm_layer=Norm,
        )
        self.attn = BiasedAttention(
            width, heads, qkv_bias=True, attn_drop=attention_dropout, window_size=window
        )

    def forward(
        self,
        x: Tensor,
        shared_rel_pos_bias: Tensor | None = None,
        added: list[Tensor] | None = None,
        wanted: Wanted = None,
    ) -> Tensor:
        """(B, M, D) -> (B, M, D), or the tokens that are wanted (`pick`): they look at all, and the
        others go no further. What the feed-forward network adds is put into `added`, if given.
        """
        kept = pick(x, wanted) + self.update(x, shared_rel_pos_bias, wanted)
        new = self.mlp(self.norm2(kept))
        new = new if self.gamma_2 is None else self.gamma_2 * new
        new = drop_images(self.drop_path2, new, x, wanted)
        if added is not None:
            added.append(new)
        return kept + new

    def update(self, x: Tensor, bias: Tensor | None = None, wanted: Wanted = None) -> Tensor:
        """What attention adds to the tokens that enter the block, (B, M, D), or to those wanted."""
        new = self.attn(self.norm1(x), bias, wanted)
        new = new if self.gamma_1 is None else self.gamma_1 * new
        return drop_images(self.drop_path1, new, x, wanted)
