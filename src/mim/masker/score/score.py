"""Contract of a score: who is to be hidden."""

from typing import Protocol

from torch import Tensor

from mim.batch import Batch
from mim.masker.score.ranking import Ranking


class Score(Protocol):
    """Score: an `nn.Module` that ranks the patches of each image, highest hidden first."""

    @property
    def needs_tokens(self) -> bool:
        """Whether it looks at embedded patches; if not, hidden patches need not be embedded at
        all.
        """

    def __call__(
        self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None
    ) -> Ranking:
        """B images, each a grid of L patches, and their embeddings (B, L, D) if needed -> ranking
        (B, L).
        """
