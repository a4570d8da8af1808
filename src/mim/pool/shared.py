"""Two products with tokens that many heads share: scoring them, and summing them by weight.

A probe trains many heads on the same tokens by `torch.vmap` over their weights, which gives each
head a copy of the tokens in such a product and is then 10 to 80 times slower than it has to be.
Here heads become columns, or rows, of one product.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


class _Kept(Protocol):
    """What a product was made of, when its gradient comes."""

    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]


class Scored(torch.autograd.Function):
    """Tokens (B, L, D), what is asked of each (A, D) -> (B, L, A): tokens @ asked.T."""

    @staticmethod
    def forward(tokens: Tensor, asked: Tensor) -> Tensor:
        """(B, L, D), (A, D) -> (B, L, A), as one product over all tokens of all images."""
        return (tokens.flatten(0, 1) @ asked.T).unflatten(0, tokens.shape[:2])

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Both are needed to go back."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: _Kept, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Of the scores (B, L, A); under autocast in the precision that they came out in."""
        tokens, asked = (saved.to(grad.dtype) for saved in ctx.saved_tensors)
        wants_tokens, wants_asked = ctx.needs_input_grad
        return grad @ asked if wants_tokens else None, (
            grad.contiguous().flatten(0, 1).T @ tokens.flatten(0, 1) if wants_asked else None
        )

    @staticmethod
    def vmap(
        info: object, in_dims: tuple[int | None, int | None], tokens: Tensor, asked: Tensor
    ) -> tuple[Tensor, int]:
        """What many heads ask of the same tokens; or of their own, where a layer before has made
        them so.
        """
        of_tokens, of_asked = in_dims
        if of_tokens is not None:
            asked = asked if of_asked is None else asked.movedim(of_asked, 0)[:, None]
            return tokens.movedim(of_tokens, 0) @ asked.mT, 0
        many = asked.movedim(of_asked or 0, 0)  # (heads, A, D)
        return Scored.apply(tokens, many.flatten(0, 1)).unflatten(2, many.shape[:2]), 2


class Summed(torch.autograd.Function):
    """Weights (B, R, L) of tokens (B, L, D) -> sums (B, R, D): weights @ tokens."""

    @staticmethod
    def forward(weight: Tensor, tokens: Tensor) -> Tensor:
        """(B, R, L), (B, L, D) -> (B, R, D), one product an image."""
        return weight @ tokens

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Both are needed to go back."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: _Kept, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Of the sums (B, R, D); under autocast in the precision that they came out in."""
        weight, tokens = (saved.to(grad.dtype) for saved in ctx.saved_tensors)
        wants_weight, wants_tokens = ctx.needs_input_grad
        grad = grad.contiguous()
        return (
            grad @ tokens.mT if wants_weight else None,
            weight.mT @ grad if wants_tokens else None,
        )

    @staticmethod
    def vmap(
        info: object, in_dims: tuple[int | None, int | None], weight: Tensor, tokens: Tensor
    ) -> tuple[Tensor, int]:
        """The weights of many heads for the same tokens; or for their own."""
        of_weight, of_tokens = in_dims
        if of_tokens is not None:
            weight = weight if of_weight is None else weight.movedim(of_weight, 0)
            return weight @ tokens.movedim(of_tokens, 0), 0
        many = weight.movedim(of_weight or 0, 1)  # (B, heads, R, L)
        return Summed.apply(many.flatten(1, 2), tokens).unflatten(1, many.shape[1:3]), 1


class Scores(nn.Linear):
    """A linear layer over tokens (B, L, D) -> (B, L, out_features)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, in_features) -> (B, L, out_features): `Scored`, and a bias."""
        return Scored.apply(tokens, self.weight) + self.bias
