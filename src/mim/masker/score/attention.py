"""Draw the patches to hide by attention, without replacement (AMT, arXiv 2211.15362; models_mae.py:
amt_masking_throwing).
"""

from torch import Tensor, nn

from mim.batch import Batch
from mim.draw import MASK, uniform
from mim.masker.attention_store import AttentionStore
from mim.masker.score.ranking import Ranking, min_max


def weighted_order(weight: Tensor, u: Tensor) -> Tensor:
    """A rank whose descending order is a draw without replacement with probabilities proportional
    to `weight`.

    log w plus Gumbel noise (Yellott, 1977; Vieira, 2014). Patches without weight come last, in
    random order. Weights and uniform draws (B, L) -> (B, L).
    """
    gumbel = -(-u.log()).log()
    return weight.clamp(min=1e-20).log() + gumbel


class Attention(nn.Module):
    """Attended patches are hidden more often. Before the store is filled every order is equally
    likely.

    Args:
        store: where the network looks in each image.
    """

    needs_tokens = False

    def __init__(self, store: AttentionStore):
        super().__init__()
        self.store = store

    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Ranking:
        """B images of a grid of L patches -> ranking (B, L) and attention, stretched to [0, 1], as
        salience (B, L).
        """
        weight = self.store(batch, grid)
        return Ranking(
            weighted_order(weight, uniform(batch.key, weight.shape[1], MASK)), min_max(weight)
        )
