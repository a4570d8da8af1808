import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.score.ranking import Ranking

# Of ten patches 0, 5 and 10 are salient: R is 0.4, 0.6 and 0.8 where ratio = 0.6 and spread = 0.2.
SALIENCE = torch.stack([torch.zeros(10), torch.arange(10) / 9.0, torch.ones(10)])
RANKING = Ranking(torch.arange(10.0).expand(3, 10), SALIENCE)


def shown(split):
    return split.visible_valid.sum(-1)[:, 0].tolist()


def kept(index, valid):
    return [i[v].tolist() for i, v in zip(index[:, 0], valid[:, 0], strict=True)]


def test_every_image_hides_as_much_as_its_salience_says():
    split = AdaptiveRatio(ratio=0.6, spread=0.2, threshold=0.5)(RANKING)
    assert split.visible.shape == (3, 1, 6)
    assert split.masked.shape == (3, 1, 9)
    assert kept(split.visible, split.visible_valid) == [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3],
        [0],
    ]  # int(10 * (1 - 0.8)) is 1
    assert kept(split.masked, split.masked_valid) == [
        [9, 8, 7, 6],
        [9, 8, 7, 6, 5, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1],
    ]


def test_per_batch_all_images_hide_the_mean():
    split = AdaptiveRatio(ratio=0.6, spread=0.2, threshold=0.5, per="batch")(RANKING)
    assert shown(split) == [4, 4, 4]  # in float32; the release takes one number for a batch


def test_the_threshold_decides_what_is_salient():
    assert shown(AdaptiveRatio(0.5, 0.3, threshold=0.0)(RANKING)) == [8, 2, 1]
    assert shown(AdaptiveRatio(0.5, 0.3, threshold=0.9)(RANKING)) == [8, 7, 1]


def test_a_score_that_knows_no_salience_gets_the_ratio_itself():
    split = AdaptiveRatio(0.75, 0.1)(Ranking(torch.rand(4, 16)))
    assert shown(split) == [4, 4, 4, 4]


@given(
    st.floats(0.35, 0.75),
    st.floats(0, 0.2),
    st.floats(0, 0.99),
    st.sampled_from(["image", "batch"]),
    st.integers(24, 64),
    st.integers(0, 99),
)
@settings(max_examples=60)
def test_every_patch_is_either_seen_or_predicted(ratio, spread, threshold, per, patches, seed):
    generator = torch.Generator().manual_seed(seed)
    salience = torch.rand(3, patches, generator=generator)
    split = AdaptiveRatio(ratio, spread, threshold, per)(
        Ranking(torch.rand(3, patches, generator=generator), salience)
    )
    for seen, hidden in zip(
        kept(split.visible, split.visible_valid),
        kept(split.masked, split.masked_valid),
        strict=True,
    ):
        assert sorted(seen + hidden) == list(range(patches))
        assert seen
        assert hidden
    assert split.visible.amax() < patches
    assert split.masked.amax() < patches


def test_shapes_do_not_depend_on_the_images():
    partition = AdaptiveRatio(0.75, 0.1)
    shapes = {
        partition(Ranking(torch.rand(4, 196), salience))[0].shape
        for salience in (torch.zeros(4, 196), torch.ones(4, 196))
    }
    assert shapes == {(4, 1, 68)}


def test_ratios_out_of_reach_are_refused():
    with pytest.raises(ValueError, match=r"ratio=0\.9, spread=0\.1; needs 0 < ratio - spread"):
        AdaptiveRatio(0.9, 0.1)
    with pytest.raises(ValueError, match=r"spread=-0\.1"):
        AdaptiveRatio(0.5, -0.1)
    with pytest.raises(
        ValueError, match=r"threshold=1\.0 does not fit; it should be at least 0 and less than 1"
    ):
        AdaptiveRatio(0.5, 0.1, threshold=1.0)
    with pytest.raises(ValueError, match="shows 0 to 1"):
        AdaptiveRatio(0.75, 0.1)(Ranking(torch.rand(1, 4)))
