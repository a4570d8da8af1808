"""Contract of a masker: a score and a partition (`Masker`), one after another (`Scheduled`), K at
once (`Independent`), blocks.
"""

from collections.abc import Iterator
from typing import Protocol, Self

from torch import Tensor, nn

from mim.batch import Batch
from mim.masker.split import Split


class AnyMasker(Protocol):
    """Masker: an `nn.Module` that decides which patches each image shows and which are
    predicted.
    """

    @property
    def needs_tokens(self) -> bool:
        """Whether it looks at embedded patches; if not, hidden patches need not be embedded at
        all.
        """

    @property
    def kind(self) -> str:
        """What it does, in a few words."""

    def __call__(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Split:
        """B images, each a grid of L patches, and their embeddings (B, L, D) if needed -> split of
        K parts.
        """

    def modules(self) -> Iterator[nn.Module]: ...
    def train(self, mode: bool = True) -> Self: ...
