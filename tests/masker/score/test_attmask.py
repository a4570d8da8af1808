import pytest
import torch

from mim.masker.attention_store import AttentionStore
from mim.masker.score.attmask import AttMask


def order(score, batch_of, images=1):
    return score(batch_of(torch.zeros(images, 3, 1, 1)), (2, 3)).rank.argsort(1, descending=True)


def test_the_most_or_the_least_attended_come_first(known, batch_of):
    store = known(0.1, 0.6, 0.3, 0.2, 0.5, 0.4)
    assert order(AttMask(store), batch_of).tolist() == [[1, 4, 5, 2, 3, 0]]
    assert order(AttMask(store, hide="least"), batch_of).tolist() == [[0, 3, 2, 5, 4, 1]]


def test_hints_are_the_last_to_be_hidden_and_drawn_from_the_most_attended(known, batch_of):
    store = known(0.1, 0.6, 0.3, 0.2, 0.5, 0.4)
    # 1 of the 3 most attended
    found = order(AttMask(store, hint_ratio=0.2, hint_from=0.5), batch_of, images=600)
    hint = found[:, -1].bincount(minlength=6)
    assert hint[[0, 2, 3]].eq(0).all()
    assert hint[[1, 4, 5]].min() > 140  # 200 expected of each
    assert torch.equal(found[:, -2], torch.zeros(600, dtype=torch.int64))  # then the least attended


def test_equal_attention_is_ordered_at_random(batch_of):
    found = order(AttMask(AttentionStore()), batch_of, images=600)
    assert found[:, 0].bincount(minlength=6).min() > 60  # 100 expected of each


def test_more_hints_than_candidates_are_refused():
    with pytest.raises(
        ValueError, match=r"hint_ratio=0\.2, hint_from=0\.1; .* 0 <= hint_ratio <= hint_from <= 1"
    ):
        AttMask(AttentionStore(), hint_ratio=0.2)
