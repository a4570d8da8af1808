"""Hide patches that get little attention, and keep what matters in sight (MST, arXiv
2106.05656).
"""

from typing import Annotated

from torch import Tensor, nn

from mim.batch import Batch
from mim.draw import MASK, uniform
from mim.masker.attention_store import AttentionStore
from mim.masker.score.ranking import Ranking, min_max
from mim.ranges import SomeShare, in_range


class MST(nn.Module):
    """The least attended patches are hidden first, in random order; of the others the least
    attended.

    Args:
        store: where the network looks in each image.
        share: of all patches, those that count as little attended. Where it is no larger than the
            partition's ratio, all of them are hidden; the larger it is, the more depends on chance.
    """

    needs_tokens = False

    @in_range
    def __init__(self, store: AttentionStore, share: Annotated[SomeShare, "e.g. 0.9"] = 0.9):
        super().__init__()
        self.store, self.share = store, share

    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Ranking:
        """B images of a grid of L patches -> ranking (B, L) and attention, stretched to [0, 1], as
        salience (B, L).
        """
        weight = self.store(batch, grid)
        L = weight.shape[1]
        u = uniform(batch.key, L, MASK)
        # 0 for the least attended; ties at random
        place = (weight + 1e-6 * u).argsort(dim=1).argsort(dim=1)
        low = place < int(L * self.share)
        return Ranking(u * low - place * ~low, min_max(weight))
