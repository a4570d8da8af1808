"""Hide exactly the most attended patches (AttMask, arXiv 2203.12719; gkakogeorgiou/attmask,
attmask.py).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.draw import MASK, uniform
from mim.masker.attention_store import AttentionStore
from mim.masker.score.ranking import Ranking, min_max
from mim.ranges import Share

# Patches of equal attention are put in random order; it tells apart less than float16 maps do.
TIE = 1e-6


class AttMask(nn.Module):
    """Rank by attention alone, but let the most attended patches give a hint.

    Hints here are ours: they are shown first, so that as many patches are masked as without them,
    and always equally many. The release takes a drawn number of them out of a mask of a drawn size
    (`masker/partition=random_ratio_hint`).

    Args:
        store: where the network looks in each image.
        hide: the `most` attended patches first (AttMask-High) or the `least` attended
            (AttMask-Low).
        hint_ratio: share of all patches that are shown as hints, before any other (AttMask-Hint:
            0.1 of what is hidden).
        hint_from: share of all patches, the most attended, from which the hints are drawn.
    """

    needs_tokens = False

    def __init__(
        self,
        store: AttentionStore,
        hide: Literal["most", "least"] = "most",
        hint_ratio: Share = 0.0,
        hint_from: Share = 0.1,
    ):
        super().__init__()
        if not 0 <= hint_ratio <= hint_from <= 1:
            raise ValueError(
                f"AttMask got hint_ratio={hint_ratio}, hint_from={hint_from}; hints are drawn from "
                "the most attended "
                "patches, so it needs 0 <= hint_ratio <= hint_from <= 1, e.g. "
                "masker.score.hint_from=0.1"
            )
        self.store, self.sign = store, 1.0 if hide == "most" else -1.0
        self.hint_ratio, self.hint_from = hint_ratio, hint_from

    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Ranking:
        """B images of a grid of L patches -> ranking (B, L) and attention, stretched to [0, 1], as
        salience (B, L).
        """
        weight = self.store(batch, grid)
        L = weight.shape[1]
        tie, hint = uniform(batch.key, 2 * L, MASK).chunk(2, dim=1)
        rank = self.sign * weight + TIE * tie
        shown, among = int(L * self.hint_ratio), int(L * self.hint_from)
        if shown:
            rank = rank.scatter(1, draw_hints(weight + TIE * tie, hint[:, :among], shown), -2.0)
        return Ranking(rank, min_max(weight))


def draw_hints(weight: Tensor, u: Tensor, count: int) -> Tensor:
    """Pick `count` of the most attended patches, of as many as there are draws: (B, L), (B, among)
    -> indices (B, count).
    """
    top = weight.topk(u.shape[1], dim=1).indices
    return torch.gather(top, 1, u.topk(count, dim=1).indices)
