"""What a pool is told about the tokens that it will be given."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from mim.encoder.encoder import Encoder


class Shape(NamedTuple):
    """The tokens of an encoder."""

    width: int
    """D, channels of a token."""
    grid: tuple[int, int]
    """Rows and columns of patches."""


def fitted(pool: nn.Module | Callable[[Shape], nn.Module], encoder: Encoder) -> nn.Module:
    """A pool for the tokens of this encoder. One that has to know their shape comes as a class that is given it here.

    Three attributes say what a pool asks for besides the tokens (B, 1 + L, D) that every pool is called with:
    `needs_cls`, a cls token among them; `rows`, the numbers of the tokens whose attention it wants, a second argument
    (B, A, rows, 1 + L); `needs_image`, the images as its second argument (B, 3, H, W).

    Raises:
        ValueError: where it needs a cls token, or attention, that the encoder has not.
    """
    if not isinstance(pool, nn.Module):
        pool = pool(Shape(encoder.width, encoder.grid))
    lacks_cls = getattr(encoder, "cls_token", None) is None
    if lacks_cls and (getattr(pool, "needs_cls", False) or hasattr(pool, "rows")):
        wanted = "the attention of whole blocks" if hasattr(pool, "rows") else "a cls token"
        raise ValueError(
            f"{type(pool).__name__} needs {wanted}, which {type(encoder).__name__} has not; take pool=mean, max, abmilp, "
            "attentive or simpool, or an encoder that has it (vit, beit)"
        )
    return pool


def width_of(pool: nn.Module, encoder: Encoder) -> int:
    """D', how many numbers a fitted pool makes of an image."""
    rows, columns = encoder.grid
    tokens = 1 + rows * columns
    asked: list[torch.Tensor] = []
    if getattr(pool, "needs_image", False):
        asked.append(torch.zeros(1, 3, rows * encoder.patch_size, columns * encoder.patch_size))
    if hasattr(pool, "rows"):
        asked.append(torch.full((1, 1, len(pool.rows), tokens), 1 / tokens))  # type: ignore[arg-type]
    return pool(torch.zeros(1, tokens, encoder.width), *asked).shape[1]
