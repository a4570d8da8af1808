"""Blocks that cover a share drawn for each image, and the partition that hides what is covered."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.batch import Batch, blank
from mim.draw import keys
from mim.masker.masker import Masker
from mim.masker.partition.covered import Covered
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.score.drawn_block import DrawnBlock
from mim.masker.score.random import Random
from mim.masker.score.ranking import Ranking


def batch(count: int, epoch: int = 0) -> Batch:
    return blank(count, (8, 8))._replace(key=keys(0, epoch, torch.arange(count)))


def counts(split) -> torch.Tensor:
    return split.masked_valid.sum(-1)[:, 0]


def test_half_stay_whole_and_the_others_are_covered_up_to_their_share():
    ratios = RandomRatio()
    split = Masker(DrawnBlock(ratios), Covered())(batch(600), (14, 14))
    share, _, masked = ratios.draw(batch(600).key)
    found = counts(split)
    assert masked.float().mean() == pytest.approx(0.5, abs=0.08)
    assert torch.all(found[~masked] == 0)
    assert torch.all(found[masked] > 0)
    assert torch.all(found <= 196 * share)  # a few less, where no further block fits
    assert (196 * share - found)[masked].mean() < 12
    assert split.masked.shape[-1] == 98


@settings(max_examples=20)
@given(
    rows=st.integers(3, 9),
    columns=st.integers(3, 9),
    ratio=st.floats(0.2, 0.6),
    epoch=st.integers(0, 99),
)
def test_each_patch_is_visible_or_masked_and_what_is_masked_is_covered(rows, columns, ratio, epoch):
    score, L = DrawnBlock(RandomRatio(ratio, 0.1, 0.3)), rows * columns
    ranking = score(batch(6, epoch), (rows, columns))
    split = Covered(most=0.8)(ranking)
    assert not split.throws(L)
    hidden = split.hidden(L)[:, 0]
    assert torch.equal(hidden, ranking.salience > 0)
    for row in range(6):
        both = [
            index[row, 0][valid[row, 0]] for index, valid in zip(split[:2], split[2:4], strict=True)
        ]
        assert sorted(torch.cat(both).tolist()) == list(range(L))


def test_no_more_is_masked_than_the_partition_allows():
    ranking = Ranking(torch.arange(10.0)[None], torch.ones(1, 10))
    split = Covered(most=0.35)(ranking)
    assert split.masked[0, 0].tolist() == [9, 8, 7]
    assert split.visible[0, 0][split.visible_valid[0, 0]].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert split.hidden(10)[0, 0].nonzero().flatten().tolist() == [7, 8, 9]


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match="this one has no salience"):
        Masker(Random(), Covered())(batch(1), (4, 4))
    with pytest.raises(
        ValueError, match=r"most=1.0 does not fit; it should be more than 0 and less than 1"
    ):
        Covered(most=1.0)
    with pytest.raises(ValueError, match="min_aspect=0"):
        DrawnBlock(RandomRatio(), min_aspect=0.0)
    with pytest.raises(ValueError, match="do not fit on a grid of 2 x 2"):
        DrawnBlock(RandomRatio(), min_patches=4)(batch(1), (2, 2))
