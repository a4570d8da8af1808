"""Attention of timm's blocks, which their fused kernels never write down: queries and keys are
taken on their way in.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Protocol, runtime_checkable

import torch
from timm.models.eva import EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Block, ResPostBlock
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

_ONE_SOFTMAX = {"Attention", "AttentionRope", "EvaAttention", "ParallelScalingBlock"}
"""Modules in which every token attends to all tokens, in one softmax."""


@runtime_checkable
class Fused(Protocol):
    """Part of timm that attends, by a fused kernel or without."""

    fused_attn: bool


class _Heard(Exception):
    """Queries and keys (B, A, L, d) that reached fused attention."""


class _Listening(TorchFunctionMode):
    """Stops at fused attention."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        if func is scaled_dot_product_attention:
            raise _Heard(*args[:2])
        return func(*args, **(kwargs or {}))


def attention_of(
    block: nn.Module,
    tokens: Tensor,
    rope: Tensor | None,
    queries: Sequence[int] | None,
    dtype: torch.dtype | None,
) -> Tensor:
    """What tokens (B, L, D) that enter a block attend to -> (B, A, queries, L) float32.

    Args:
        block: of timm.
        tokens: of whole images.
        rope: rotary positions of the patches; None where there are none.
        queries: numbers of tokens; None for all.
        dtype: of queries, keys and products; None for the precision in force.

    Raises:
        ValueError: where the block attends more than once, or in no single softmax.
    """
    attends = [type(part).__name__ for part in block.modules() if isinstance(part, Fused)]
    if len(attends) != 1 or attends[0] not in _ONE_SOFTMAX:
        raise ValueError(
            f"a {type(block).__name__} of timm attends by {' and '.join(attends)}, which is no one "
            "map; choose an "
            "encoder whose blocks attend once"
        )
    arguments = {"rope": rope} if isinstance(block, EvaBlock | EvaBlockPostNorm) else {}
    with nullcontext() if dtype is None else torch.autocast(tokens.device.type, enabled=False):
        weights: dict[str, Tensor] = {}
        if dtype is not None:
            weights, tokens = (
                {name: value.to(dtype) for name, value in block.named_parameters()},
                tokens.to(dtype),
            )
        query, key = _heard(block, weights, tokens, arguments)
        if queries is not None:
            query = query[:, :, list(queries)]
        score = (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).float()
    return score.softmax(dim=-1)


def _heard(
    block: nn.Module,
    weights: dict[str, Tensor],
    tokens: Tensor,
    arguments: dict[str, Tensor | None],
) -> tuple[Tensor, Tensor]:
    try:
        with _Listening():
            functional_call(block, weights, (tokens,), arguments)
    except _Heard as heard:
        query, key = heard.args
        return query, key
    raise AssertionError(f"{type(block).__name__} attends without the fused kernel")


def update_of(block: nn.Module, tokens: Tensor, rope: Tensor | None) -> Tensor:
    """What a block's attention adds to the tokens (B, L, D) that enter it -> the same.

    Raises:
        ValueError: where attention and feed-forward are one sum.
    """
    if isinstance(block, Block):
        return block.drop_path1(block.ls1(block.attn(block.norm1(tokens))))
    if isinstance(block, ResPostBlock):
        return block.drop_path1(block.norm1(block.attn(tokens)))
    if isinstance(block, EvaBlock):
        added = block.attn(block.norm1(tokens), rope=rope)
        return block.drop_path1(added if block.gamma_1 is None else block.gamma_1 * added)
    if isinstance(block, EvaBlockPostNorm):
        return block.drop_path1(block.norm1(block.attn(tokens, rope=rope)))
    raise ValueError(
        f"timm's {type(block).__name__} adds attention and feed-forward at once; choose an encoder "
        "whose blocks attend first"
    )
