"""Contract of an encoder: images to tokens, any subset of patches, and attention where it has
some.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from mim.encoder.attention import Wanted, pick
from mim.geometry import Geometry


class Module(Protocol):
    """Methods of torch's `nn.Module` that are called on an encoder: every encoder is one."""

    training: bool

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def modules(self) -> Iterator[nn.Module]: ...
    def named_modules(self) -> Iterator[tuple[str, nn.Module]]: ...
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True) -> object: ...
    def requires_grad_(self, requires_grad: bool = True) -> Self: ...
    def train(self, mode: bool = True) -> Self: ...
    def eval(self) -> Self: ...
    def to(self, device: torch.device) -> Self: ...


class Encoder(Module, Protocol):
    """Encoder: an `nn.Module` that embeds patches and encodes any of them, for example a ViT.

    A class of your own inherits from `nn.Module` alone and has what stands here (docs/extend.md).
    Its tokens are R prefix tokens, then patches: whole images have R + L.
    """

    geometry: Geometry
    """Channels, image size, patch size and grid of what it embeds; L patches."""
    width: int
    """D, channels of an encoded token."""
    prefix: int
    """R, tokens before the patches: 0, 1 (cls), or 1 + registers, cls first."""
    norm: nn.Module
    """Final norm, of the tokens that leave the last block."""

    @property
    def depth(self) -> int:
        """Number of blocks."""

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Blocks, first to last: what layer decay goes by, and partial fine-tuning."""

    def embed(self, image: Tensor, index: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) -> all patches (B, L, E), or those at (B, K, M) -> (B, K, M, E).

        Positions are in them. E is D, except where blocks see something else than tokens (Swin).
        """

    def position_token(self, token: Tensor, index: Tensor) -> Tensor:
        """One token in place of the patches at (B, K, M), each with its position -> (B, K, M,
        E).
        """

    def new_token(self) -> nn.Parameter:
        """Learnable token for `position_token`, newly drawn: a mask token (SimMIM)."""

    def encode(
        self, tokens: Tensor, index: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Embedded patches (B, M, E) -> their tokens, prefix first (B, R + M, D), normalised.

        Args:
            tokens: of `embed` and `position_token`, in any order.
            index: which patches they are, (B, M); None for all of them, in order.
            valid: which tokens are none of padding, (B, M); None for all. Padding changes no
                other token, and comes last in every row.

        Raises:
            ValueError: where a patch is missing that may not be (Swin).
        """

    def encode_blocks(
        self,
        tokens: Tensor,
        blocks: Sequence[int],
        index: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> list[Tensor]:
        """The same of several blocks in one pass, each (B, R + M, D), not normalised.

        Args:
            tokens, index, valid: as for `encode`.
            blocks: whose leaving tokens are given, counted from 1, in any order; 0 is what enters
                the first block. Blocks after the last of them do not run.

        Raises:
            ValueError: where there is no such block, or a patch is missing that may not be.
        """

    def __call__(self, image: Tensor) -> Tensor:
        """Whole images (B, C, H, W) -> prefix tokens, then patches (B, R + L, D), normalised."""

    def no_weight_decay(self) -> set[str]:
        """Names of the matrices among its parameters that weight decay leaves alone."""


@runtime_checkable
class Attends(Protocol):
    """What an encoder can do whose every token attends to all tokens, in every block.

    Blocks are counted from 1, None is the last; queries are numbers of tokens, prefix first, None
    is all of them. Rows of attention sum to one over all tokens.
    """

    heads: int
    """A, attention heads of a block."""

    def attention(
        self, image: Tensor, queries: Sequence[int] | None = None, block: int | None = None
    ) -> Tensor:
        """What tokens of whole images (B, C, H, W) attend to -> (B, A, queries, R + L) float32.

        Queries and keys in the precision in force (autocast, or that of the weights), with their
        biases; their products become float32 before biases of positions and softmax.
        """

    def block_attention(
        self,
        tokens: Tensor,
        queries: Sequence[int] | None = None,
        block: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """The same, of the tokens (B, R + L, D) that enter the block: `encode_blocks(.., [n - 1])`.

        With a `dtype` queries, keys and their products are in that, whatever the autocast.
        """

    def block_update(self, tokens: Tensor, block: int | None = None) -> Tensor:
        """What the block's attention adds to the tokens (B, R + L, D) that enter it -> the same."""


@runtime_checkable
class FeedsForward(Protocol):
    """What an encoder can do whose blocks end in a feed-forward network beside a residual."""

    def encode_added(self, tokens: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """All patches (B, L, E) -> what these networks add to their tokens, each (B, R + L, D).

        Args:
            tokens: of `embed`, in order.
            blocks: whose they are, counted from 1, in any order.

        Raises:
            ValueError: where there is no such block.
        """


@runtime_checkable
class EncodesSome(Protocol):
    """What an encoder can do whose last block need not compute all tokens."""

    def encode_some(
        self,
        tokens: Tensor,
        wanted: Wanted,
        index: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> Tensor:
        """Those of `Encoder.encode` that are wanted (`mim.encoder.attention.pick`)."""


@runtime_checkable
class Resizes(Protocol):
    """What an encoder can do whose positions are resized to images of other sizes than its
    geometry's.
    """

    resize_offset: float
    """Added to the new number of rows or columns when positions are resized
    (`resize_positions`).
    """


CONTRACT = (
    *Encoder.__annotations__,
    *(name for name in vars(Encoder) if not name.startswith("_")),
)
"""What every encoder has, by name."""


def check_contract(encoder: Encoder) -> None:
    """Refuse an encoder that lacks what is asked of it at the end of a training, when its features
    are judged.

    Raises:
        ValueError: naming what it lacks.
    """
    lacks = [name for name in CONTRACT if getattr(encoder, name, None) is None]
    if lacks:
        raise ValueError(
            f"{type(encoder).__name__} lacks {', '.join(lacks)}, which every encoder has "
            "(mim/encoder/encoder.py); norm is torch.nn.Identity() where nothing is normalised "
            "after the last block"
        )


class AttentionEncoder(Encoder, Attends, Protocol):
    """Encoder whose attention can be asked for."""


def encode_some(
    encoder: Encoder,
    tokens: Tensor,
    wanted: Wanted,
    index: Tensor | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """Encoded tokens that are wanted (`pick`), and of the last block no others where that can be
    spared.
    """
    if isinstance(encoder, EncodesSome):
        return encoder.encode_some(tokens, wanted, index, valid)
    return pick(encoder.encode(tokens, index, valid), wanted)


def cls_tokens(encoder: Encoder, image: Tensor) -> Tensor:
    """First token of each whole image, normalised: (B, C, H, W) -> (B, D)."""
    return encode_some(encoder, encoder.embed(image), 1)[:, 0]


def attending(encoder: Encoder, refusal: str) -> AttentionEncoder:
    """The encoder, once it is known to have a cls token that attends to all patches.

    Raises:
        ValueError: where it has none: what cannot be done, and what to do instead.
    """
    if isinstance(encoder, Attends) and encoder.prefix:
        return encoder
    raise ValueError(
        f"{type(encoder).__name__} has no cls token that attends to all patches, {refusal}"
    )


def cls_attention(encoder: AttentionEncoder, image: Tensor, block: int | None = None) -> Tensor:
    """What the cls token attends to among patches: (B, C, H, W) -> (B, A, L) float32."""
    return encoder.attention(image, [0], block)[:, :, 0, encoder.prefix :]
