import pytest
import torch

from mim.masker.attention_store import AttentionStore
from mim.masker.score.mst import MST


def test_the_least_attended_come_first_at_random_and_the_others_follow_by_attention(
    known, batch_of
):
    score = MST(known(0.1, 0.6, 0.3, 0.2, 0.5, 0.4), share=0.5)
    order = score(batch_of(torch.zeros(600, 3, 1, 1)), (2, 3)).rank.argsort(1, descending=True)
    assert (order[:, :3].sort(1).values == torch.tensor([0, 2, 3])).all()
    assert order[:, 0].bincount(minlength=4)[[0, 2, 3]].min() > 140  # 200 expected of each
    assert (order[:, 3:] == torch.tensor([5, 4, 1])).all()


def test_attention_is_stretched_to_all_of_0_to_1_as_salience(known, batch_of):
    salience = MST(known(0.1, 0.6, 0.35))(batch_of(torch.zeros(1, 3, 1, 1)), (1, 3)).salience
    assert salience[0].tolist() == pytest.approx([0, 1, 0.5])


def test_before_the_store_is_filled_every_patch_is_hidden_equally_often(batch_of):
    order = MST(AttentionStore())(batch_of(torch.zeros(1000, 3, 1, 1)), (2, 3)).rank.argsort(
        1, descending=True
    )
    often = order[:, :3].flatten().bincount(minlength=6) / 1000
    assert (often - 0.5).abs().max() < 0.08


def test_a_share_that_is_none_is_refused():
    for share in (0.0, 1.5):
        with pytest.raises(
            ValueError, match=f"share={share} does not fit; it should be more than 0"
        ):
            MST(AttentionStore(), share)
