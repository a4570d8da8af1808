"""Begin with one masker and go on with another (AMT, arXiv 2211.15362: random for 40 epochs)."""

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.masker.any_masker import AnyMasker
from mim.masker.split import Split
from mim.part import Part
from mim.ranges import NonNegativeInt, in_range


class Scheduled(Part, nn.Module):
    """One masker until an epoch, another from then on.

    Args:
        first: the masker of epochs 0 to `at_epoch` - 1.
        then: the masker of all later epochs.
        at_epoch: the first epoch, counted from 0, of the second masker: 40 is random for 40 epochs,
            as AMT's paper says; its release changes at 41 (mae-AMT/models_mae.py: `epoch > 40`).
    """

    @in_range
    def __init__(self, first: AnyMasker, then: AnyMasker, at_epoch: NonNegativeInt):
        super().__init__()
        self.first, self.then, self.at_epoch = first, then, at_epoch
        # a flag, not the epoch: compiled code is compiled again only when it changes
        self.changed = at_epoch == 0

    def begin_epoch(self, epoch: int) -> None:
        """Change over, if it is time."""
        self.changed = epoch >= self.at_epoch

    @property
    def current(self) -> AnyMasker:
        """The masker in use."""
        return self.then if self.changed else self.first

    @property
    def needs_tokens(self) -> bool:
        """Whether the masker in use looks at embedded patches."""
        return self.current.needs_tokens

    @property
    def kind(self) -> str:
        """What the masker in use does."""
        return self.current.kind

    @torch.no_grad()
    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Split:
        """B images, each a grid of L patches, and their embeddings (B, L, D) if `needs_tokens` ->
        indices of patches.
        """
        return self.current(batch, grid, tokens)
