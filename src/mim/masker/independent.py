"""Several independent masks of the same image, as parts of one split (the "pure random mask" of
EMAE, arXiv 2302.14431).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mim.batch import Batch
from mim.draw import keys
from mim.masker.any_masker import AnyMasker
from mim.masker.split import Split
from mim.ranges import Count, in_range


class Independent(nn.Module):
    """Ask a masker K times, each time with other random numbers.

    Unlike parallel parts, the masks may show a patch several times or never.

    Args:
        masker: any masker.
        parts: K.
    """

    @in_range
    def __init__(self, masker: AnyMasker, parts: Count):
        super().__init__()
        self.masker, self.parts = masker, parts

    @property
    def needs_tokens(self) -> bool:
        """Whether the score looks at embedded patches."""
        return self.masker.needs_tokens

    @property
    def kind(self) -> str:
        """Names of the score and partition that each part is drawn with."""
        return self.masker.kind

    @torch.no_grad()
    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Split:
        """B images, each a grid of L patches, and their embeddings (B, L, D) if `needs_tokens` -> K
        parts.
        """
        splits = [
            self.masker(batch._replace(key=keys(part, 0, batch.key)), grid, tokens)
            for part in range(self.parts)
        ]
        visible, visible_valid = _side_by_side(
            [(split.visible, split.visible_valid) for split in splits]
        )
        masked, masked_valid = _side_by_side(
            [(split.masked, split.masked_valid) for split in splits]
        )
        return Split(visible, masked, visible_valid, masked_valid)


def _side_by_side(parts: list[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor | None]:
    """Index sets (B, 1, M) and what is valid in them -> one (B, K, M), padded to the longest."""
    longest = max(index.shape[2] for index, _ in parts)
    index = torch.cat([pad(index, (0, longest - index.shape[2])) for index, _ in parts], dim=1)
    if all(valid is None and part.shape[2] == longest for part, valid in parts):
        return index, None
    valid = [
        torch.ones_like(part, dtype=torch.bool) if valid is None else valid for part, valid in parts
    ]
    return index, torch.cat([pad(v, (0, longest - v.shape[2])) for v in valid], dim=1)
