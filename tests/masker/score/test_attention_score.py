from itertools import permutations

import pytest
import torch

from mim.masker.attention_store import AttentionStore
from mim.masker.score.attention import Attention, weighted_order


def test_orders_are_as_likely_as_draws_without_replacement(known, batch_of):
    """Each draw takes one of the patches that are left with probability proportional to its
    weight.
    """
    weight = (0.5, 0.3, 0.2)
    draws = 20_000
    order = Attention(known(*weight))(batch_of(torch.zeros(draws, 3, 1, 1)), (1, 3)).rank.argsort(
        1, descending=True
    )
    for a, b, c in permutations(range(3)):
        expected = weight[a] * weight[b] / (1 - weight[a])
        found = (order == torch.tensor([a, b, c])).all(1).float().mean().item()
        assert found == pytest.approx(expected, abs=4 * (expected * (1 - expected) / draws) ** 0.5)


def test_patches_without_weight_come_last_in_random_order(known, batch_of):
    order = Attention(known(0.0, 0.1, 0.0, 0.9))(
        batch_of(torch.zeros(400, 3, 1, 1)), (2, 2)
    ).rank.argsort(1)
    assert (order[:, :2].sort(1).values == torch.tensor([0, 2])).all()
    assert 0.4 < (order[:, 0] == 0).float().mean() < 0.6


def test_the_noise_is_finite_enough_for_every_draw():
    u = torch.tensor([[0.0, 1 - 2**-24, 2**-24, 0.5]])
    assert not weighted_order(torch.ones(1, 4), u).isnan().any()
    assert weighted_order(torch.zeros(1, 4), u).argmax() == 1


def test_before_the_store_is_filled_every_patch_is_hidden_equally_often(batch_of):
    ranking = Attention(AttentionStore())(batch_of(torch.zeros(4000, 3, 1, 1)), (4, 4))
    often = ranking.rank.argsort(1, descending=True)[:, :12].flatten().bincount(minlength=16) / 4000
    assert (often - 0.75).abs().max() < 0.03  # 4.4 standard deviations
    assert ranking.salience.eq(0).all()


def test_salience_is_attention_stretched_to_0_and_1(known, batch_of):
    ranking = Attention(known(0.2, 0.4, 0.3, 0.2))(batch_of(torch.zeros(2, 3, 1, 1)), (2, 2))
    assert ranking.salience[1].tolist() == pytest.approx([0, 1, 0.5, 0])
