import torch

from mim.draw import MASK, uniform
from mim.masker.score.random import Random


def test_each_image_gets_its_own_order_and_a_new_one_in_every_epoch(batch_of):
    image = torch.zeros(8, 3, 1, 1)
    first, again, later = (Random()(batch_of(image, epoch), (4, 6)).rank for epoch in (0, 0, 1))
    assert first.shape == (8, 24)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert first.argsort(1).unique(dim=0).shape[0] == 8


def test_ranks_are_the_draws_kept_for_masks(batch_of):
    batch = batch_of(torch.zeros(3, 3, 1, 1))
    assert torch.equal(Random()(batch, (2, 5)).rank, uniform(batch.key, 10, MASK))


def test_it_knows_no_salience_and_looks_at_no_tokens(batch_of):
    score = Random()
    assert score(batch_of(torch.zeros(1, 3, 1, 1)), (2, 2)).salience is None
    assert not score.needs_tokens


def test_every_patch_is_hidden_equally_often(batch_of):
    rank = Random()(batch_of(torch.zeros(4000, 3, 1, 1)), (4, 4)).rank
    often = rank.argsort(1, descending=True)[:, :12].flatten().bincount(minlength=16) / 4000
    assert (often - 0.75).abs().max() < 0.03  # 4.4 standard deviations
