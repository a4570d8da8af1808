"""AttMask against gkakogeorgiou/attmask @ 9f62061: the same patches of the same attention and
draws.
"""

from types import SimpleNamespace

import pytest
import torch

from mim.masker.partition import random_ratio
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.score import attmask as module
from mim.masker.score.attmask import AttMask
from mim.masker.score.ranking import Ranking
from tests.stored import numbered


@pytest.mark.parametrize("index", numbered("attmask"))
def test_the_same_patches_are_hidden(golden, batch_of, monkeypatch, index):
    reference = golden("attmask")
    m = SimpleNamespace(**reference.meta["configs"][index])
    attention = reference["attention"]
    B, L = attention.shape
    kind = m.masking_mode.removeprefix("attmask_")
    hints = m.show_ratio if kind == "hint" else 0.0
    score = AttMask(
        lambda batch, grid: attention, "least" if kind == "low" else "most", hints, m.show_max
    )

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
    reference = golden("attmask")
    patches = reference["attention"].shape[1]
    for m in reference.meta["configs"]:
        assert FixedRatio(m["masking_ratio"], "mask_down").masked_count(patches) == m["n_masked"]


def released(reference, index, hints_from):
    """The partition whose range holds all that was drawn there, and the ranking of the same
    attention.
    """
    m = SimpleNamespace(**reference.meta["configs"][index])
    ends = [(r - v, r + v) for r, v in zip(m.pred_ratio, m.pred_ratio_var, strict=True) if r]
    low, high = min(a for a, _ in ends), max(b for _, b in ends)
    attention = reference["cls_attention"]
    score = AttMask(
        lambda batch, grid: attention, "least" if m.masking_mode.endswith("low") else "most"
    )
    return m, RandomRatio((low + high) / 2, (high - low) / 2, 0.5, hints_from), score


@pytest.mark.parametrize("index", numbered("attmask_release"))
def test_the_released_rule_masks_the_same_patches(golden, batch_of, monkeypatch, index):
    reference = golden("attmask_release")
    hinted = reference.meta["configs"][index]["masking_mode"] == "attmask_hint"
    m, partition, score = released(
        reference, index, reference.meta["configs"][index]["show_max"] if hinted else 0.0
    )
    attention = reference["cls_attention"]
    B, L = attention.shape
    # no two are equal
    monkeypatch.setattr(module, "uniform", lambda key, count, stream: torch.zeros(B, count))
    place = attention.argsort(dim=1, descending=True).argsort(dim=1)
    for step in range(len(m.n_masked)):
        ratio, show = reference[f"c{index}.ratio"][step], reference[f"c{index}.show_ratio"][step]
        chosen = (reference[f"c{index}.rand"][step] <= m.masking_prob) & (ratio > 0)
        monkeypatch.setattr(
            partition,
            "draw",
            lambda key, r=ratio, s=show, c=chosen: (r.expand(B), s.expand(B) / m.show_max, c),
        )
        if hinted:  # the hints that were drawn there have the smallest draws here
            count = m.n_revealed[step]
            hints = place.gather(1, reference[f"c{index}.revealed_ids"][step][:, :count])
            draws = torch.ones(B, int(L * m.show_max)).scatter(1, hints, 0.0)
            monkeypatch.setattr(
                random_ratio, "uniform", lambda key, count, stream, draws=draws: draws
            )
        split = partition(
            score(batch_of(torch.zeros(B, 3, 1, 1)), (1, L))._replace(key=torch.arange(B))
        )
        hidden = torch.zeros(B, L + 1, dtype=torch.int8)
        hidden.scatter_(1, split.masked[:, 0].where(split.masked_valid[:, 0], L), 1)
        assert torch.equal(hidden[:, :L], reference[f"c{index}.mask"][step])


def test_counts_of_masks_and_hints_are_the_released_ones(golden):
    """For all ratios from 0.05 to 0.55, several grids and shares that hints are drawn from."""
    for L, ratio, among, masked, top, hints in golden("attmask_release")["counts"].tolist():
        partition = RandomRatio(ratio, 0.0, 0.0, among)
        ranking = Ranking(torch.arange(L)[None].float(), key=torch.zeros(1, dtype=torch.int64))
        assert int(L * among) == top
        if masked:
            split = partition(ranking)
            assert partition.masked_range(int(L)) == (masked, masked)
            if top <= masked:
                assert split.masked_valid.sum() == masked - hints
