"""Contract of a teacher: a network whose tokens a student is to predict."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn


class Teacher(Protocol):
    """Teacher: an encoder that is not trained by gradients and sees whole images."""

    @property
    def depth(self) -> int:
        """Blocks of its encoder."""

    @property
    def prefix(self) -> int:
        """R, tokens before the patches."""

    @property
    def norm(self) -> nn.Module:
        """Final norm of its encoder."""

    def __call__(
        self, image: Tensor, blocks: Sequence[int], through: str | None = None, added: bool = False
    ) -> list[Tensor]:
        """Whole images (B, C, H, W) -> tokens that leave these blocks, counted from 1.

        Each (B, R + L, D), not normalised and without a gradient. With the name of a module that it
        averages `through`, each is the mean of patch tokens projected by that, (B, P). With `added`
        they are not what leaves a block but what its feed-forward network adds.
        """
