"""Contract of a pool: one vector of an encoder's tokens, and what else it asks for."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from mim.encoder.encoder import Attends, Encoder

CLS = -1
"""Number of the cls token among `Needs.queries`."""


class Needs(NamedTuple):
    """What a pool asks for besides the patches (B, L, D) that every pool is called with."""

    cls: bool = False
    """The cls token in front of them: (B, 1 + L, D)."""
    queries: tuple[int, ...] = ()
    """Patches by their numbers, or CLS, whose attention to the patches it wants in the block whose
    tokens are pooled: a second argument (B, A, queries, L)."""
    image: bool = False
    """The images, normalised, as its last argument: (B, C, H, W)."""


class Shape(NamedTuple):
    """Geometry of tokens, for pools that depend on it: such a pool is a class that is given it."""

    width: int
    """D, channels of a token."""
    grid: tuple[int, int]
    """Rows and columns of patches; L is their product."""


class Pool(Protocol):
    """Pool: an `nn.Module` that makes one vector of the tokens of an image."""

    needs: Needs

    def __call__(self, tokens: Tensor, *needed: Tensor) -> Tensor:
        """Patches (B, L, D), cls in front if it needs it, and what it needs -> (B, D')."""

    def parameters(self) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> dict[str, Tensor]: ...


Pools = Mapping[str, Pool | Callable[[Shape], Pool]]
"""Pools by name; those that depend on the tokens' shape wait for it."""


def fitted(pool: Pool | Callable[[Shape], Pool], encoder: Encoder) -> Pool:
    """A pool for the tokens of this encoder.

    Raises:
        ValueError: where it needs a cls token, or attention, that the encoder has not.
    """
    fit = (
        cast(Pool, pool)
        if isinstance(pool, nn.Module)
        else cast(Callable[[Shape], Pool], pool)(Shape(encoder.width, encoder.geometry.grid))
    )
    needs = fit.needs
    lacks_cls = (needs.cls or CLS in needs.queries) and encoder.prefix == 0
    lacks_attention = bool(needs.queries) and not isinstance(encoder, Attends)
    if lacks_cls or lacks_attention:
        wanted = "the attention of whole blocks" if lacks_attention else "a cls token"
        raise ValueError(
            f"{type(fit).__name__} needs {wanted}, which {type(encoder).__name__} has not; take "
            "pool=mean, max, abmilp, attentive or simpool, or an encoder that has it (vit, beit)"
        )
    return fit


def width_of(pool: Pool, encoder: Encoder) -> int:
    """D', how many numbers a fitted pool makes of an image."""
    needs, L = pool.needs, encoder.geometry.patches
    needed: list[Tensor] = []
    if needs.queries:
        needed.append(torch.full((1, 1, len(needs.queries), L), 1 / L))
    if needs.image:
        needed.append(torch.zeros(1, encoder.geometry.channels, *encoder.geometry.image_size))
    return pool(torch.zeros(1, int(needs.cls) + L, encoder.width), *needed).shape[1]


def pool_tokens(tokens: Tensor, prefix: int, needs: Needs) -> Tensor:
    """Tokens of whole images (B, R + L, D) -> those that a pool is called with.

    Patches (B, L, D), or with the cls token in front (B, 1 + L, D); registers are never pooled.
    """
    patches = tokens[:, prefix:]
    if not needs.cls:
        return patches
    return tokens if prefix == 1 else torch.cat([tokens[:, :1], patches], dim=1)
