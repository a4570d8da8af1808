"""Biases of BEiT's attention by the distance of two patches, of whichever patches are there."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mim.encoder.attention import Wanted, pick
from mim.encoder.beit_block import Block
from mim.encoder.blocks import run_blocks
from mim.encoder.padding import padding_bias, with_cls
from mim.tokens import take


def biases_of(
    blocks: Iterable[nn.Module],
    shared: Tensor | None,
    distance: Tensor,
    index: Tensor | None = None,
    valid: Tensor | None = None,
) -> list[Tensor | None]:
    """The bias of each block (B or 1, A, 1 + M, 1 + M), or None, which hides padding too.

    Args:
        blocks: some have a table of their own.
        shared: the table (T, A) of those that have none; None where there is no table at all.
        distance: (1 + L, 1 + L), the row of a table for each pair of tokens, cls token first.
        index: patches (B, M) that are there; None for all, which images share biases of.
        valid: (B, M), which of these are no padding; None for all.
    """
    rows = distance[None]
    if index is not None:
        token = _tokens(index)
        rows = distance[token[:, :, None], token[:, None, :]]
    common = None if shared is None else _look_up(shared, rows)
    padding = None if valid is None else padding_bias(with_cls(valid))
    tables = (b.attn.relative_position_bias_table for b in blocks if isinstance(b, Block))
    return [_sum(common if table is None else _look_up(table, rows), padding) for table in tables]


def run_in_grid_order(
    x: Tensor,
    blocks: nn.ModuleList,
    biases: Sequence[Tensor | None],
    numbers: Sequence[int],
    index: Tensor,
    wanted: Wanted,
) -> list[Tensor]:
    """As `run_blocks` of all patches in some order, which run in that of the grid, where images
    share their biases.

    Args:
        x: (B, 1 + L, D), cls token first.
        blocks, numbers: of which, and after which of them, tokens are returned.
        biases: of all patches, (1, A, 1 + L, 1 + L) each, or None.
        index: (B, L), where patches are.
        wanted: tokens of `x` that the last of these blocks computes (`pick`).
    """
    x = _reorder(x, index.argsort(dim=1)[:, None])
    if wanted is None:
        return [_reorder(each, index[:, None]) for each in run_blocks(x, blocks, biases, numbers)]
    start = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
    chosen = pick(start + _tokens(index), wanted)
    left = run_blocks(x, blocks, biases, numbers, chosen.flatten())
    return [
        each.unflatten(0, chosen.shape)
        if number == max(numbers)
        else _reorder(each, index[:, None])
        for number, each in zip(numbers, left, strict=True)
    ]


def _tokens(index: Tensor) -> Tensor:
    """Numbers of the tokens of an image: patches (B, M) -> (B, 1 + M), that of the cls token, 0,
    first.
    """
    return torch.cat([index.new_zeros(len(index), 1), index + 1], dim=1)


def _look_up(table: Tensor, rows: Tensor) -> Tensor:
    """Table (T, A), rows (B, M, M) -> biases (B, A, M, M)."""
    return table[rows].permute(0, 3, 1, 2)


def _reorder(tokens: Tensor, order: Tensor) -> Tensor:
    """Patches of (B, 1 + M, D) by their numbers (B, 1, M), the cls token still first."""
    return torch.cat([tokens[:, :1], take(tokens[:, 1:], order)[:, 0]], dim=1)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b
