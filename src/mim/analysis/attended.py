"""Look at the attention of every block while an encoder runs. Nothing is changed; when nobody looks, nothing is paid."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

BIAS = ("attn_mask", "shared_rel_pos_bias")  # under which name a block hands its attention a bias: ViT, Beit


class Attended(NamedTuple):
    """One block at work on whole images: M = 1 + L tokens, cls first."""

    attention: Any
    """The block's attention module."""
    given: Tensor
    """(B, M, D), what it looked at: the residual stream, normalised."""
    bias: Tensor | None
    """(1, A, M, M) where positions are relative."""
    residual: Tensor
    """(B, M, D), the stream that enters the block."""
    update: Tensor
    """(B, M, D), what attention adds to it: projected, and scaled where the block has a layer scale."""

    def matrix(self, images: slice) -> Tensor:
        """Who attends to whom in some of the images: (images, A, M, M), rows sum to one."""
        return attention_matrix(self.attention, self.given[images], self.bias)


def attention_matrix(
    attention: Any, x: Tensor, bias: Tensor | None = None, rows: Sequence[int] | None = None
) -> Tensor:
    """softmax(Q K^T / sqrt(d) + bias), which the fused kernels never write down: (B, M, D) -> (B, A, M or rows, M) float32.

    Args:
        attention: of a ViT or of a Beit, with its `qkv` and `num_heads`.
        x: what it is given.
        bias: (1, A, M, M), of relative positions.
        rows: of which tokens; null for all.
    """
    width, heads = x.shape[-1], attention.num_heads
    query_bias = attention.q_bias if attention.qkv.bias is None else attention.qkv.bias[:width]
    with torch.autocast(x.device.type, enabled=False):
        x, weight = x.float(), attention.qkv.weight.float()
        looking = x if rows is None else x[:, rows]
        bias = bias if rows is None or bias is None else bias[:, :, rows]
        query = linear(looking, weight[:width], query_bias.float()).unflatten(-1, (heads, -1)).transpose(1, 2)
        # A bias of the keys adds one number to all of a row, which the softmax does not notice.
        key = linear(x, weight[width : 2 * width]).unflatten(-1, (heads, -1)).transpose(1, 2)
        score = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)
        return (score if bias is None else score + bias).softmax(dim=-1)


def check_attends(encoder: nn.Module) -> None:
    """Go on only where there is attention to look at.

    Raises:
        ValueError: where the encoder has no cls token that attends to all patches.
    """
    if not hasattr(encoder, "cls_attention"):
        raise ValueError(
            f"{type(encoder).__name__} has no cls token that attends to all patches, so its attention has no such statistics; "
            "give a checkpoint of a ViT or a Beit"
        )


@contextmanager
def looking(encoder: nn.Module, see: Callable[[Attended], None]) -> Iterator[None]:
    """While this is open, `see` is called by every block of every forward pass, first block first.

    Raises:
        ValueError: where the encoder has no cls token that attends to all patches.
    """
    check_attends(encoder)
    blocks: Any = encoder.blocks
    hooks = [hook for block in blocks for hook in _watch(block, see)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _watch(block: Any, see: Callable[[Attended], None]) -> list[Any]:
    """Read what passes through a block: what enters it, what its attention is given, and what is added."""
    passing: dict[str, Any] = {}

    def enters(block: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        passing["residual"] = arguments[0]

    def attends(attention: nn.Module, arguments: tuple[Tensor, ...], options: dict[str, Any]) -> None:
        bias = next((options[name] for name in BIAS if options.get(name) is not None), None)
        passing.update(attention=attention, given=arguments[0], bias=bias)

    def adds(drop_path: nn.Module, arguments: tuple[Tensor, ...], update: Tensor) -> None:
        see(Attended(update=update, **passing))
        passing.clear()

    return [
        block.register_forward_pre_hook(enters),
        block.attn.register_forward_pre_hook(attends, with_kwargs=True),
        block.drop_path1.register_forward_hook(adds),
    ]
