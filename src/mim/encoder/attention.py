"""Attention by the kernel that is fastest where the tokens are."""

import torch
from timm.layers import Attention as TimmAttention
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention

from mim.encoder.padding import Lengths, attend_within


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | Lengths | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(d) + bias) V: queries (B, A, M, d), keys and values (B, A, L, d) -> (B, A, M, d).

    A bias is (B or 1, A or 1, M or 1, L), or says how long each row is; what comes out is in the precision given.

    Always the fused kernel, except in half precision on a CPU: there two batched products are 3 to 7 times as fast, forward
    and backward together (benchmarks/README.md). Each product sums in float32 and rounds its result once.
    """
    if isinstance(bias, Lengths):
        return attend_within(query, key, value, bias)
    if query.device.type == "cpu" and query.dtype != torch.float32:
        query, key, value = (t.contiguous() for t in (query * query.shape[-1] ** -0.5, key, value))
        score = query @ key.transpose(-2, -1)
        return (score if bias is None else score + bias.to(score.dtype)).softmax(-1) @ value
    return scaled_dot_product_attention(query, key, value, None if bias is None else bias.to(query.dtype))


def cls_row(x: Tensor, weight: Tensor, in_bias: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """What the first token attends to among the others, without the rest of the matrix. The softmax counts the first as well.

    Args:
        x: (B, 1 + L, D).
        weight, in_bias: of the projection to queries, keys and values: (3 * D, D), (3 * D).
        heads: A.
        bias: (1, A, 1, 1 + L), as in `attend`.

    Returns:
        (B, A, L) float32.
    """
    B, M, D = x.shape
    query = linear(x[:, :1], weight[:D], in_bias[:D]).view(B, 1, heads, -1).transpose(1, 2)  # (B, A, 1, d)
    key = linear(x, weight[D : 2 * D], in_bias[D : 2 * D]).view(B, M, heads, -1).transpose(1, 2)
    score = (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).float()
    return (score if bias is None else score + bias).softmax(dim=-1)[:, :, 0, 1:]


class Attention(TimmAttention):
    """timm's multi-head self-attention, with its parameters and key names, over `attend`."""

    def forward(  # type: ignore[override]
        self, x: Tensor, attn_mask: Tensor | Lengths | None = None, is_causal: bool = False, queries: int | None = None
    ) -> Tensor:
        """(B, L, D) -> (B, L, D), or what the first `queries` tokens see of all: (B, queries, D).

        The mask is a bias as in `attend`.
        """
        B, L, _ = x.shape
        qkv = self.qkv(x).view(B, L, 3, self.num_heads, self.head_dim)
        query, key, value = (t.transpose(1, 2) for t in qkv.unbind(2))  # (B, A, L, d)
        if queries is not None:
            query = query[:, :, :queries]
        return self.proj(attend(query, key, value, attn_mask).transpose(1, 2).flatten(2))

    def cls_row(self, x: Tensor) -> Tensor:
        """What the first token attends to among the others: (B, 1 + L, D) -> (B, A, L)."""
        return cls_row(x, self.qkv.weight, self.qkv.bias, self.num_heads)
