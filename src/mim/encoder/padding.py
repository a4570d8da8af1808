"""Rows of tokens of unequal length, side by side: how attention is told which tokens are
padding.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import pad


class Lengths(NamedTuple):
    """How many tokens of each row are there; they come first, and padding follows."""

    valid: Tensor
    """(B,) int64, at least 1."""


def padding(valid: Tensor, tokens: Tensor) -> Tensor | Lengths:
    """What hides padding from all, in the form that the tokens' device runs fastest.

    On a GPU in half precision the lengths, so that attention runs over each row's own tokens and no
    mask exists; elsewhere a bias. Both are of one shape whatever the lengths: nothing compiles
    twice and the host does not wait.

    Args:
        valid: (B, M) bool, True before False in every row.
        tokens: (B, M, D).
    """
    if tokens.is_cuda and tokens.dtype in (torch.float16, torch.bfloat16):
        return Lengths(valid.sum(dim=1))
    return padding_bias(valid)


def padding_bias(valid: Tensor) -> Tensor:
    """The same as a bias: (B, M) bool, in any order -> (B, 1, 1, M)."""
    return torch.zeros_like(valid, dtype=torch.float32).masked_fill(~valid, -math.inf)[
        :, None, None
    ]


def with_cls(valid: Tensor) -> Tensor:
    """The cls token, in front, is always there: (B, M) -> (B, 1 + M)."""
    return torch.cat([torch.ones_like(valid[:, :1]), valid], dim=1)


def attend_within(query: Tensor, key: Tensor, value: Tensor, lengths: Lengths) -> Tensor:
    """Attention within the valid tokens of each row: queries (B, A, M, d), keys and values (B, A,
    L, d) -> (B, A, M, d).

    The queries are those of the first M of the L tokens. To the kernel, a row's tokens and its
    padding are two sequences, one behind the other: nothing moves in memory, and what comes out for
    padding is finite and means nothing. The kernel takes d in steps of 8; any other is filled up
    with zeros.
    """
    B, _, M, d = query.shape
    L = key.shape[2]
    more = -d % 8
    query, key, value = (
        pad(t.transpose(1, 2).flatten(0, 1), (0, more)) for t in (query, key, value)
    )
    queries_end, keys_end = _ends(lengths.valid.clamp(max=M), M), _ends(lengths.valid, L)
    seen = varlen_attn(query, key, value, queries_end, keys_end, M, L, scale=d**-0.5)
    assert isinstance(seen, Tensor)
    return seen[..., :d].unflatten(0, (B, M)).transpose(1, 2)


def _ends(valid: Tensor, length: int) -> Tensor:
    """Where sequences end when each row of `length` is cut in two after `valid` (B,): (1 + 2 B,)
    int32, 0 first.
    """
    start = torch.arange(len(valid), device=valid.device) * length
    ends = torch.stack([start + valid, start + length], dim=1).flatten()
    return torch.cat([ends.new_zeros(1), ends]).int()
