"""AttMask against gkakogeorgiou/attmask @ 9f62061: the same patches of the same attention and draws."""

from types import SimpleNamespace

import pytest
import torch

from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score import attmask as module
from mim.masker.score.attmask import AttMask
from mim.masker.score.ranking import Ranking


@pytest.mark.parametrize("index", range(5))
def test_the_same_patches_are_hidden(golden, batch_of, monkeypatch, index):
    reference = golden("attmask")
    m = SimpleNamespace(**reference.meta["configs"][index])
    attention = reference["attention"]
    B, L = attention.shape
    kind = m.masking_mode.removeprefix("attmask_")
    hints = m.show_ratio if kind == "hint" else 0.0
    score = AttMask(lambda batch, grid: attention, "least" if kind == "low" else "most", hints, m.show_max)

    draws = torch.zeros(B, 2 * L)
    if kind == "hint":  # the hints that were drawn there have the largest draws here
        place = attention.argsort(dim=1, descending=True).argsort(dim=1)
        draws[:, L:].scatter_(1, place.gather(1, reference[f"c{index}.revealed_ids"]), 1.0)
    monkeypatch.setattr(module, "uniform", lambda key, count, stream: draws)

    count = m.n_masked - (m.n_revealed if kind == "hint" else 0)
    rank = score(batch_of(torch.zeros(B, 3, 1, 1)), (1, L)).rank
    masked = FixedRatio((count + 0.5) / L, "mask_down")(Ranking(rank)).masked[:, 0]
    hidden = torch.zeros(B, L, dtype=torch.int8).scatter(1, masked, 1)
    chosen = reference[f"c{index}.rand"] <= m.masking_prob  # there, an image may stay whole
    assert chosen.any()
    assert torch.equal(hidden[chosen], reference[f"c{index}.mask"][chosen])


def test_the_share_that_is_hidden_rounds_down(golden):
    for m in golden("attmask").meta["configs"]:
        assert FixedRatio(m["masking_ratio"], "mask_down").masked_count(196) == m["n_masked"]
