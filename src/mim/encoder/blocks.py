"""Running a transformer's blocks, up to the last one that is asked for."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from mim.encoder.attention import Wanted
from mim.encoder.padding import Lengths

Bias = Tensor | Lengths | None


def run_blocks(
    x: Tensor,
    blocks: Iterable[Callable[..., Tensor]],
    biases: Sequence[Bias],
    wanted: Sequence[int],
    tokens: Wanted = None,
) -> list[Tensor]:
    """Tokens (B, M, D) -> those that leave each of the wanted blocks, counted from 1; 0 is `x`.

    Args:
        x: enters the first block.
        blocks: called with the tokens and a bias of attention.
        biases: of each block.
        wanted: numbers, in any order; what comes after the last of them does not run.
        tokens: those that the last of these blocks computes (`pick`), where blocks take `wanted`.
    """
    for number in wanted:
        check_number(number, len(biases), least=0)
    left = {0: x}
    for number, (block, bias) in enumerate(zip(blocks, biases, strict=True), start=1):
        if number > max(wanted):
            break
        last = tokens is not None and number == max(wanted)
        x = block(x, bias, wanted=tokens) if last else block(x, bias)
        if number in wanted:
            left[number] = x
    return [left[number] for number in wanted]


def run_for_added(
    x: Tensor,
    blocks: Iterable[Callable[..., Tensor]],
    biases: Sequence[Bias],
    wanted: Sequence[int],
) -> list[Tensor]:
    """The same, of what the feed-forward networks of the wanted blocks add to their tokens.

    Args:
        x, blocks, biases: as in `run_blocks`; blocks put what they add into a list `added`.
        wanted: numbers, from 1, in any order.
    """
    for number in wanted:
        check_number(number, len(biases))
    found: dict[int, list[Tensor]] = {number: [] for number in wanted}
    for number, (block, bias) in enumerate(zip(blocks, biases, strict=True), start=1):
        if number > max(wanted):
            break
        x = block(x, bias, added=found[number]) if number in found else block(x, bias)
    return [found[number][0] for number in wanted]


def check_number(number: int | None, depth: int, of: str = "the encoder", least: int = 1) -> int:
    """Number of a block, counted from 1; None is the last.

    Raises:
        ValueError: where it is none of `least` to `depth`.
    """
    if number is None:
        return depth
    if not least <= number <= depth:
        raise ValueError(f"block={number} of {of} cannot be looked at: it has blocks 1 to {depth}")
    return number


def rising_rates(last: float, depth: int) -> list[float]:
    """Rates of stochastic depth, from 0 in the first block in a line to that of the last."""
    return torch.linspace(0, last, depth, device="cpu").tolist()


class ImageAttention:
    """Attention of an encoder whose blocks each say theirs, of the tokens that enter them."""

    def attention(
        self: "_ByBlock",
        image: Tensor,
        queries: Sequence[int] | None = None,
        block: int | None = None,
    ) -> Tensor:
        """What tokens of whole images (B, C, H, W) attend to -> (B, A, queries, R + L) float32."""
        number = check_number(block, self.depth, type(self).__name__)
        (entering,) = self.encode_blocks(self.embed(image), [number - 1])
        return self.block_attention(entering, queries, number)


class _ByBlock(Protocol):
    """What it asks of an encoder."""

    depth: int

    def embed(self, image: Tensor) -> Tensor: ...

    def encode_blocks(self, tokens: Tensor, blocks: Sequence[int]) -> list[Tensor]: ...

    def block_attention(
        self, tokens: Tensor, queries: Sequence[int] | None = None, block: int | None = None
    ) -> Tensor: ...
