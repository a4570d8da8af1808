import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.draw import keys
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.score.ranking import Ranking
from mim.part import Progress
from mim.target.pixel import Pixel


def ranking(images=1, patches=196, epoch=0):
    rank = torch.rand(images, patches, generator=torch.Generator().manual_seed(epoch))
    return Ranking(rank, key=keys(0, epoch, torch.arange(images)))


def counts(split):
    return split.masked_valid.sum(2)[:, 0]


def test_the_highest_ranked_are_masked_but_for_the_hints():
    partition = RandomRatio(0.5, 0.0, unmasked=0.0, hints_from=0.5)
    # int(8 * 0.5 * 0.5) hints of 4
    split = partition(Ranking(torch.arange(8.0)[None], key=torch.tensor([3])))
    masked = split.masked[split.masked_valid].tolist()
    assert len(masked) == 2
    assert set(masked) < {4, 5, 6, 7}
    assert masked == sorted(masked, reverse=True)
    assert set(split.visible[split.visible_valid].tolist()) == set(range(8)) - set(masked)


@given(
    st.floats(0.2, 0.8),
    st.floats(0, 0.15),
    st.floats(0, 0.9),
    st.floats(0, 0.5),
    st.integers(0, 999),
)
@settings(max_examples=60)
def test_every_patch_is_seen_or_masked_and_padding_comes_last(ratio, spread, unmasked, hints, seed):
    split = RandomRatio(ratio, spread, unmasked, hints)(ranking(4, 49, seed))
    for i in range(4):
        sets = [
            split.visible[i, 0][split.visible_valid[i, 0]],
            split.masked[i, 0][split.masked_valid[i, 0]],
        ]
        assert torch.cat(sets).sort().values.tolist() == list(range(49))
    for valid in (split.visible_valid, split.masked_valid):
        assert (valid.int().diff(dim=2) <= 0).all()


def test_ratios_are_uniform_and_half_of_the_images_stay_whole():
    split = RandomRatio()(ranking(4000))
    count = counts(split)
    assert 0.46 < count.eq(0).double().mean() < 0.54
    some = count[count > 0]
    assert (some.min(), some.max()) == (19, 97)
    assert abs(some.double().mean() - 58.3) < 1.5  # the mean of int(196 r)


def test_one_to_nine_hints_are_taken_out_of_196_patches():
    plain, hinted = (
        counts(RandomRatio(unmasked=0.0, hints_from=h)(ranking(2000))) for h in (0.0, 0.1)
    )
    assert (plain - hinted).unique().tolist() == list(range(1, 10))


def test_the_images_of_a_step_share_their_ratio_however_they_are_split_up():
    partition, whole = RandomRatio(unmasked=0.0, hints_from=0.1, per="batch"), ranking(8)
    seen = set()
    for step in range(20):
        partition.begin_step(Progress(step, 10, 5))
        count = counts(partition(whole))
        assert count.unique().numel() == 1
        half = [
            counts(partition(Ranking(whole.rank[part], key=whole.key[part])))
            for part in (slice(4), slice(4, 8))
        ]
        assert torch.equal(torch.cat(half), count)
        seen.add(int(count[0]))
    assert len(seen) > 12
    partition.begin_step(Progress(0, 10, 5))
    other = RandomRatio(unmasked=0.0, hints_from=0.1, per="batch", seed=1)
    assert counts(other(whole))[0] != counts(partition(whole))[0]
    # outside of training each image draws
    assert counts(partition.eval()(whole)).unique().numel() > 1


def test_an_image_with_no_mask_counts_for_nothing_in_the_loss():
    split = RandomRatio(0.5, 0.0, unmasked=1 - 1e-9)(ranking(2, 4))
    assert not split.masked_valid.any()
    prediction = torch.randn(2, 1, split.masked.shape[2], 12, requires_grad=True)
    loss = Term(Pixel(Geometry.of(2, 2)))(prediction, torch.randn(2, 3, 4, 4), split)
    loss.backward()
    assert loss == 0
    assert prediction.grad.eq(0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": 0.1}, r"ratio=0\.1, spread=0\.2; needs .* ratio - spread > 0"),
        ({"unmasked": 1.0}, r"unmasked=1\.0 does not fit; it should be at least 0 and less than 1"),
    ],
)
def test_impossible_shares_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RandomRatio(**settings)


def test_a_grid_too_small_for_a_mask_is_refused():
    with pytest.raises(ValueError, match=r"of 9 patches hides 0 to 4; at least 1 must be"):
        RandomRatio()(ranking(1, 9))
