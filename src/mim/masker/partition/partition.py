"""Contract of a partition: how many patches are hidden, shown and thrown, in how many parts."""

from typing import Protocol

from mim.masker.score.ranking import Ranking
from mim.masker.split import Split


class Partition(Protocol):
    """Partition: an `nn.Module` that cuts a ranking of patches into what is visible and what is
    masked.
    """

    def __call__(self, ranking: Ranking) -> Split:
        """Ranking (B, L), highest hidden first, and keys (B,) where it draws -> split of K
        parts.
        """
