"""Teacher of tokens: an average of a student, which sees the images of one view."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mim.encoder.encoder import FeedsForward
from mim.precision import at_least_single
from mim.teacher.average import Average


class EMA(Average):
    """Exponential moving average of a student's encoder, whose tokens the student predicts
    (`Teacher`); arguments are those of `Average`.
    """

    @property
    def depth(self) -> int:
        """Blocks of the encoder."""
        return self.network.depth

    @property
    def prefix(self) -> int:
        """R, tokens before the patches."""
        return self.network.prefix

    @torch.no_grad()
    def forward(
        self,
        image: Tensor,
        blocks: Sequence[int],
        through: str | None = None,
        added: bool = False,
        index: Tensor | None = None,
        valid: Tensor | None = None,
        normed: bool = False,
    ) -> list[Tensor]:
        """Images (B, C, H, W) -> tokens of these blocks, as in `Teacher`.

        Raises:
            ValueError: where what feed-forward networks add is asked of an encoder that cannot say.
        """
        tokens = self.network.embed(image, index)
        places, there = None, None
        if index is not None:
            tokens, places = tokens.flatten(0, 1), index.flatten(0, 1)
            there = None if valid is None else valid.flatten(0, 1)
        if not added:
            left = self.network.encode_blocks(tokens, blocks, places, there)
        elif isinstance(self.network, FeedsForward):
            left = self.network.encode_added(tokens, blocks)
        else:
            raise ValueError(
                f"{type(self.network).__name__} cannot say what its feed-forward networks add; "
                "give loss.target.of=block, or encoder=vit_base or beit_base"
            )
        left = [self.network.norm(x) for x in left] if normed else left
        if through is None:
            return left
        project = self.get_submodule(through)
        return [project(at_least_single(x[:, self.prefix :]).mean(1)) for x in left]
