import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.score.ranking import Ranking

RANKING = Ranking(torch.tensor([[0.0, 7, 1, 6, 2, 5, 3, 4]]))  # patch 1 first


def test_the_highest_ranked_are_masked_the_lowest_stay_visible_and_the_middle_is_in_neither():
    split = ThrowMiddle(mask_ratio=0.25, throw_ratio=0.5)(RANKING)
    assert split.masked.tolist() == [[[1, 3]]]
    assert split.visible.tolist() == [[[2, 0]]]
    assert split.valid() is None


def test_throwing_the_low_end_shows_the_middle():
    split = ThrowMiddle(mask_ratio=0.25, throw_ratio=0.5, throw="low")(RANKING)
    assert split.masked.tolist() == [[[1, 3]]]
    assert split.visible.tolist() == [[[5, 7]]]


def test_the_published_counts():
    assert ThrowMiddle(0.45, 0.40).counts(196) == (88, 78)  # with MAE: 30 visible
    # with SimMIM, in cells: 14 visible
    assert ThrowMiddle(0.44, 0.26, rounding="up").counts(49) == (22, 13)


def test_counts_are_those_of_the_release(golden):
    for patches, mask, throw, masked, hidden in golden("mask_counts")["amt_table"].tolist():
        if masked >= 1 and hidden < patches:
            assert ThrowMiddle(mask, throw).counts(int(patches)) == (masked, hidden - masked)


@given(
    st.floats(0.05, 0.5),
    st.floats(0, 0.4),
    st.sampled_from(["middle", "low"]),
    st.sampled_from(["down", "up"]),
    st.integers(0, 99),
)
@settings(max_examples=60)
def test_no_patch_is_both_seen_and_predicted(mask, throw, end, rounding, seed):
    rank = torch.rand(2, 49, generator=torch.Generator().manual_seed(seed))
    partition = ThrowMiddle(mask, throw, end, rounding)
    split = partition(Ranking(rank))
    for tokens in torch.cat([split.visible, split.masked], -1).flatten(1):
        assert tokens.unique().numel() == tokens.numel() == 49 - partition.counts(49)[1]
    hidden, seen = (rank.gather(1, index[:, 0]) for index in (split.masked, split.visible))
    assert (hidden.amin(1) > seen.amax(1)).all()


def test_leaving_nothing_to_see_or_to_predict_is_refused():
    with pytest.raises(ValueError, match="a sum below 1"):
        ThrowMiddle(mask_ratio=0.6, throw_ratio=0.4)
    with pytest.raises(ValueError, match="hides 0, throws 1 and shows 3"):
        ThrowMiddle(0.2, 0.25).counts(4)
    with pytest.raises(ValueError, match="hides 2, throws 2 and shows 0"):
        ThrowMiddle(0.45, 0.45, rounding="up").counts(4)
