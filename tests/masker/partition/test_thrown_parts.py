import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.masker.partition.thrown_parts import ThrownParts
from mim.masker.score.ranking import Ranking


def test_the_middle_of_the_ranking_is_in_no_part():
    split = ThrownParts(parts=2, throw_ratio=0.5)(
        Ranking(torch.tensor([[7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]))
    )
    assert split.visible.tolist() == [[[1, 2], [7, 0]]]
    assert split.masked.tolist() == [[[7, 0], [1, 2]]]


@given(st.integers(2, 6), st.integers(12, 60), st.floats(0.01, 0.5), st.integers(0, 99))
@settings(max_examples=50)
def test_what_is_kept_is_seen_by_one_part_and_predicted_by_all_others(
    parts, patches, throw_ratio, seed
):
    rank = torch.rand(2, patches, generator=torch.Generator().manual_seed(seed))
    split = ThrownParts(parts, throw_ratio)(Ranking(rank))
    thrown = patches - split.visible[0].numel()
    assert patches * throw_ratio <= thrown + 1e-9 < patches * throw_ratio + parts + 1
    for visible, masked, order in zip(
        split.visible, split.masked, rank.argsort(dim=1), strict=True
    ):
        kept = visible.flatten().sort().values
        assert kept.unique().numel() == kept.numel()
        middle = (patches - thrown + 1) // 2
        assert not set(kept.tolist()) & set(order[middle : middle + thrown].tolist())
        for part in torch.cat([visible, masked], dim=1):
            assert torch.equal(part.sort().values, kept)


def test_throwing_nothing_or_all_but_a_few_is_refused():
    with pytest.raises(
        ValueError, match=r"throw_ratio=0.0 does not fit; it should be more than 0 and less than 1"
    ):
        ThrownParts(4, 0.0)
    with pytest.raises(ValueError, match="leaves fewer than 4, one for each part"):
        ThrownParts(4, 0.9).kept_count(16)
