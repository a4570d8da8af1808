import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.ranking import Ranking

roundings = st.sampled_from(["keep_down", "mask_up", "mask_down"])


def test_the_top_of_the_ranking_is_hidden():
    split = FixedRatio(0.75)(Ranking(torch.tensor([[0.3, 0.9, 0.1, 0.5], [4.0, 1.0, 2.0, 3.0]])))
    assert split.visible.tolist() == [[[2]], [[1]]]
    assert split.masked.tolist() == [[[1, 3, 0]], [[0, 3, 2]]]
    assert split.visible_valid is None
    assert split.masked_valid is None


def test_each_rounding_is_the_one_its_paper_uses():
    for patches, ratio, keep_down, mask_up, mask_down in [
        (196, 0.6, 118, 118, 117),
        (100, 0.9, 91, 90, 90),
    ]:
        assert FixedRatio(ratio).masked_count(patches) == keep_down
        assert FixedRatio(ratio, "mask_up").masked_count(patches) == mask_up
        assert FixedRatio(ratio, "mask_down").masked_count(patches) == mask_down


@given(st.floats(0.1, 0.9), st.integers(16, 200), roundings, st.integers(0, 99))
@settings(max_examples=50)
def test_every_patch_is_either_seen_or_predicted(ratio, patches, rounding, seed):
    rank = torch.rand(2, patches, generator=torch.Generator().manual_seed(seed))
    split = FixedRatio(ratio, rounding)(Ranking(rank))
    assert abs(split.masked.shape[-1] - patches * ratio) <= 1
    for tokens in torch.cat([split.visible, split.masked], -1)[:, 0]:
        assert torch.equal(tokens.sort().values, torch.arange(patches))


def test_hiding_nothing_or_everything_is_refused():
    for ratio in (0.0, 1.0, 1.5, -0.1):
        with pytest.raises(
            ValueError,
            match=f"ratio={ratio} does not fit; it should be more than 0 and less than 1",
        ):
            FixedRatio(ratio)
    with pytest.raises(ValueError, match="hides 4 and shows 0"):
        FixedRatio(0.9).masked_count(4)
    with pytest.raises(ValueError, match="hides 0 and shows 4"):
        FixedRatio(0.1, "mask_down").masked_count(4)
