"""Attention by the kernel that is fastest where the tokens are."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from timm.layers import Attention as TimmAttention
from timm.models.vision_transformer import Block as TimmBlock
from torch import Tensor, nn
from torch.nn.functional import dropout, linear, scaled_dot_product_attention

from mim.encoder.padding import Lengths, attend_within, padding_bias
from mim.precision import at_least_single

Wanted = int | Tensor | None
"""Tokens that something is computed of (`pick`)."""


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | Lengths | None = None,
    drop: float = 0.0,
) -> Tensor:
    """softmax(Q K^T / sqrt(d) + bias) V: queries (B, A, M, d), keys and values (B, A, L, d) -> (B,
    A, M, d).

    A bias is (B or 1, A or 1, M or 1, L), or says how long each row is; what comes out is in the
    precision given. Each weight of attention is left out with probability `drop`, and the others
    are scaled up; not where a bias is lengths.

    Always the fused kernel, except in half precision on a CPU: there two batched products are 3 to
    7 times as fast, forward and backward together (benchmarks/README.md). Each product sums in
    float32 and rounds its result once.
    """
    if isinstance(bias, Lengths):
        return attend_within(query, key, value, bias)
    if query.device.type == "cpu" and query.dtype != torch.float32:
        query, key, value = (t.contiguous() for t in (query * query.shape[-1] ** -0.5, key, value))
        score = query @ key.transpose(-2, -1)
        weight = (score if bias is None else score + bias.to(score.dtype)).softmax(-1)
        return dropout(weight, drop) @ value
    return scaled_dot_product_attention(
        query, key, value, None if bias is None else bias.to(query.dtype), drop
    )


def attention_rows(
    x: Tensor,
    weight: Tensor,
    in_bias: Tensor,
    heads: int,
    queries: Sequence[int] | None = None,
    bias: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """softmax(Q K^T / sqrt(d) + bias), which fused kernels never write down -> (B, A, M, L)
    float32.

    Args:
        x: (B, L, D), what attention is given.
        weight, in_bias: of the projection to queries, keys and values: (3 * D, D), (3 * D).
        heads: A.
        queries: numbers of M tokens; None for all.
        bias: (1, A, L, L), of relative positions.
        dtype: of queries, keys and their products; None for the precision in force.
    """
    D = x.shape[-1]
    with nullcontext() if dtype is None else torch.autocast(x.device.type, enabled=False):
        if dtype is not None:
            x, weight, in_bias = x.to(dtype), weight.to(dtype), in_bias.to(dtype)
        asking = x if queries is None else x[:, _chosen(queries)]
        query = linear(asking, weight[:D], in_bias[:D]).unflatten(-1, (heads, -1)).transpose(1, 2)
        key = linear(x, weight[D : 2 * D], in_bias[D : 2 * D]).unflatten(-1, (heads, -1))
        score = (query * query.shape[-1] ** -0.5 @ key.permute(0, 2, 3, 1)).float()
        if bias is not None:
            score = score + (bias if queries is None else bias[:, :, _chosen(queries)])
        return score.softmax(dim=-1)


def attend_first(
    x: Tensor,
    weight: Tensor,
    in_bias: Tensor | None,
    heads: int,
    bias: Tensor | Lengths | None = None,
) -> Tensor:
    """What the first token sees of all: softmax(q K^T / sqrt(d) + bias) V, (B, L, D) -> (B, 1, D).

    One query needs neither keys nor values: q (x W_k)^T = (q W_k^T) x^T, and a (x W_v) = (a x) W_v,
    at a share A / D of what they cost. A bias of keys adds the same to all scores of a head, which
    a softmax does not see.

    Args:
        x: (B, L, D), what attention is given.
        weight, in_bias: of the projection to queries, keys and values: (3 * D, D), (3 * D).
        heads: A.
        bias: as in `attend`, of the first query.
    """
    if isinstance(bias, Lengths):
        bias = padding_bias(torch.arange(x.shape[1], device=x.device) < bias.valid[:, None])
    of_query, of_keys, of_values = weight.chunk(3)
    query_bias, _, value_bias = (None,) * 3 if in_bias is None else in_bias.chunk(3)
    of_keys, of_values = (each.unflatten(0, (heads, -1)) for each in (of_keys, of_values))
    query = linear(x[:, 0], of_query, query_bias).unflatten(-1, (heads, -1))
    query = (query * query.shape[-1] ** -0.5).transpose(0, 1)  # (A, B, d); of_keys is (A, d, D)
    asked = (query @ of_keys).transpose(0, 1)  # (B, A, D)
    with torch.autocast(x.device.type, enabled=False):  # as a kernel has it, not rounded
        score = at_least_single(asked) @ at_least_single(x).mT  # (B, A, L)
    share = (score if bias is None else score + bias[:, :, 0]).softmax(-1).to(x.dtype)
    seen = (share @ x).transpose(0, 1) @ of_values.mT  # (A, B, d)
    seen = seen.transpose(0, 1).flatten(1)
    return (seen if value_bias is None else seen + value_bias.to(seen.dtype))[:, None]


def pick(x: Tensor, wanted: Wanted) -> Tensor:
    """Tokens (B, L, D) that are wanted: all of them, the first of each image (B, wanted, D), or
    those with numbers (N,) among all B * L: (N, D).
    """
    if wanted is None:
        return x
    return x[:, :wanted] if isinstance(wanted, int) else x.flatten(0, 1).index_select(0, wanted)


def drop_images(path: nn.Module, new: Tensor, x: Tensor, wanted: Wanted) -> Tensor:
    """Stochastic depth of what is added to the tokens of x (B, L, D) that are wanted (`pick`): all
    of an image, or none.
    """
    if not isinstance(wanted, Tensor) or isinstance(path, nn.Identity):
        return path(new)
    return new * path(new.new_ones(len(x), 1))[wanted // x.shape[1]]


def _chosen(queries: Sequence[int]) -> slice | list[int]:
    """Index of some tokens, which copies none where they stand side by side."""
    first, count = queries[0], len(queries)
    side_by_side = list(queries) == list(range(first, first + count))
    return slice(first, first + count) if side_by_side else list(queries)


class Attention(TimmAttention):
    """timm's multi-head self-attention, with its parameters and key names, over `attend`."""

    def forward(
        self,
        x: Tensor,
        attn_mask: Tensor | Lengths | None = None,
        is_causal: bool = False,
        wanted: Wanted = None,
    ) -> Tensor:
        """(B, L, D) -> what all tokens see of all (B, L, D), or those that are wanted (`pick`).

        The mask is a bias as in `attend`.
        """
        B, L, _ = x.shape
        if isinstance(wanted, int) and wanted == 1:
            return self.proj(
                attend_first(x, self.qkv.weight, self.qkv.bias, self.num_heads, attn_mask)
            )
        qkv = self.qkv(x).view(B, L, 3, self.num_heads, self.head_dim)
        query, key, value = (t.transpose(1, 2) for t in qkv.unbind(2))  # (B, A, L, d)
        if isinstance(wanted, int):
            query = query[:, :, :wanted]
        return self.proj(
            pick(attend(query, key, value, attn_mask).transpose(1, 2).flatten(2), wanted)
        )

    def rows(
        self, x: Tensor, queries: Sequence[int] | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """What tokens attend to: (B, L, D) -> (B, A, queries, L); see `attention_rows`."""
        return attention_rows(
            x, self.qkv.weight, self.qkv.bias, self.num_heads, queries, dtype=dtype
        )


class Norm(nn.LayerNorm):
    """Layer norm of a vision transformer, which adds 1e-6 to variances."""

    def __init__(
        self, width: int, device: torch.device | None = None, dtype: torch.dtype | None = None
    ):
        super().__init__(width, eps=1e-6, device=device, dtype=dtype)


class Block(TimmBlock):
    """timm's block of a ViT, with its parameters and key names, over `Attention`."""

    attn: Attention

    def __init__(self, *sizes: Any, **options: Any):
        super().__init__(*sizes, **{"attn_layer": Attention, **options})

    def forward(
        self,
        x: Tensor,
        attn_mask: Tensor | Lengths | None = None,
        is_causal: bool = False,
        added: list[Tensor] | None = None,
        wanted: Wanted = None,
    ) -> Tensor:
        """(B, L, D) -> (B, L, D), or the tokens that are wanted (`pick`): they look at all, and the
        others go no further. What the feed-forward network adds is put into `added`, if given.
        """
        kept = pick(x, wanted) + self.update(x, attn_mask, wanted)
        new = drop_images(self.drop_path2, self.ls2(self.mlp(self.norm2(kept))), x, wanted)
        if added is not None:
            added.append(new)
        return kept + new

    def update(
        self, x: Tensor, attn_mask: Tensor | Lengths | None = None, wanted: Wanted = None
    ) -> Tensor:
        """What attention adds to the tokens that enter the block, (B, L, D), or to those wanted."""
        new = self.ls1(self.attn(self.norm1(x), attn_mask, wanted=wanted))
        return drop_images(self.drop_path1, new, x, wanted)
