"""Contract of a teacher: a network whose tokens a student is to predict."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Teacher(Protocol):
    """Teacher: an encoder that is not trained by gradients and sees whole images."""

    @property
    def depth(self) -> int:
        """Blocks of its encoder."""

    @property
    def prefix(self) -> int:
        """R, tokens before the patches."""

    def __call__(
        self,
        image: Tensor,
        blocks: Sequence[int],
        through: str | None = None,
        added: bool = False,
        index: Tensor | None = None,
        valid: Tensor | None = None,
        normed: bool = False,
    ) -> list[Tensor]:
        """Whole images (B, C, H, W) -> tokens that leave these blocks, counted from 1.

        Each (B, R + L, D), without a gradient. With the name of a module that it averages
        `through`, each is the mean of patch tokens projected by that, (B, P).

        Args:
            image: images.
            blocks: numbers of blocks.
            through: name of a module to project with.
            added: whether they are not what leaves a block but what its feed-forward network adds.
            index: which patches it sees, (B, K, M), each then (B * K, R + M, D); None for all.
            valid: which of those are none of padding, (B, K, M); None for all.
            normed: whether its final norm comes last.
        """
