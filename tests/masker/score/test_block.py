import shutil

import pytest
import torch

from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.block import (
    ATTEMPTS,
    PATIENCE,
    Block,
    place,
    place_blocks,
    sides,
    smallest_block,
)
from mim.masker.score.random import Random


def attempt(age, failed, height, width, top, left, limit):
    return place(
        age,
        failed,
        *(torch.tensor([float(v)]) for v in (height, width, top, left)),
        torch.tensor([limit]),
    )


def test_blocks_are_laid_down_one_after_another():
    age, failed = torch.zeros(1, 4, 5), torch.zeros(1, dtype=torch.int64)
    age, failed = attempt(age, failed, height=2, width=3, top=0, left=1, limit=9)
    assert age[0].tolist() == [[0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0] * 5, [0] * 5]
    # 3 new patches, 1 already hidden
    age, failed = attempt(age, failed, height=2, width=2, top=1, left=0, limit=3)
    assert age[0].tolist() == [[0, 2, 2, 2, 0], [1, 2, 2, 2, 0], [1, 1, 0, 0, 0], [0] * 5]
    assert failed.item() == 0


@pytest.mark.parametrize(
    "box",
    [
        {"height": 4, "width": 1, "top": 0, "left": 0, "limit": 9},  # as high as the grid
        {"height": 1, "width": 5, "top": 0, "left": 0, "limit": 9},  # as wide as the grid
        {"height": 2, "width": 2, "top": 0, "left": 0, "limit": 9},  # nothing new
        {"height": 3, "width": 4, "top": 0, "left": 0, "limit": 7},  # 8 new patches
    ],
)
def test_an_attempt_that_breaks_a_rule_leaves_the_blocks_and_counts_as_failed(box):
    age, failed = torch.zeros(1, 4, 5), torch.zeros(1, dtype=torch.int64)
    age, failed = attempt(age, failed, 2, 2, 0, 0, 9)
    after, failed = attempt(age, failed, **box)
    assert torch.equal(after > 0, age > 0)
    assert failed.item() == 1
    _, failed = attempt(after, failed, 1, 1, 3, 3, 9)
    assert failed.item() == 0


def test_an_image_is_given_up_after_ten_failures_in_a_row():
    age = torch.zeros(2, 4, 4)
    failed = torch.tensor([PATIENCE - 1, PATIENCE])
    one = torch.ones(2)
    age, _ = place(age, failed, one, one, one, one, torch.tensor([5, 5]))
    assert (age > 0).sum((1, 2)).tolist() == [1, 0]


def test_sides_have_the_area_and_aspect_asked_for():
    assert sides(torch.tensor([16.0, 16.0]), torch.tensor([1.0, 0.25])) == (
        pytest.approx(torch.tensor([4.0, 2.0])),
        pytest.approx(torch.tensor([4.0, 8.0])),
    )


@pytest.mark.parametrize("grid", [(4, 4), (8, 10), (14, 14)])
@pytest.mark.parametrize("ratio", [0.4, 0.75])
def test_blocks_hide_no_more_than_asked_and_nearly_as_much(batch_of, grid, ratio):
    L = grid[0] * grid[1]
    ranking = Block(ratio)(batch_of(torch.zeros(500, 3, 1, 1)), grid)
    covered = (ranking.rank >= 1).sum(1)  # below 1 is the noise of patches that no block hides
    target = FixedRatio(ratio, "mask_up").masked_count(L)
    assert covered.max() <= target
    assert covered.float().mean() >= 0.98 * target


def test_the_partition_hides_every_block_and_random_patches_beyond(batch_of):
    batch = batch_of(torch.zeros(100, 3, 1, 1))
    score = Block(0.4)
    blocks = score(batch, (14, 14)).rank >= 1
    masked = Masker(score, FixedRatio(0.4, "mask_up"))(batch, (14, 14)).masked[:, 0]
    hidden = torch.zeros_like(blocks).scatter(1, masked, True)
    assert (hidden | ~blocks).all()
    assert (hidden & ~blocks).any()  # BEiT stops short of some
    assert hidden.sum(1).eq(79).all()


def test_blocks_hold_together(batch_of):
    """More hidden neighbours of hidden patches than a random mask has."""

    def neighbours(score):
        masked = Masker(score, FixedRatio(0.5))(
            batch_of(torch.zeros(200, 3, 1, 1)), (14, 14)
        ).masked[:, 0]
        hidden = torch.zeros(200, 196).scatter(1, masked, 1.0).view(-1, 14, 14)
        return (hidden[:, 1:] * hidden[:, :-1]).sum() / hidden[:, 1:].sum()

    assert neighbours(Random()) == pytest.approx(0.5, abs=0.03)
    assert neighbours(Block(0.5)) > 0.75


def test_nearly_every_image_is_done_within_the_attempts(batch_of):
    """One that is neither full nor given up would still change its mask in another attempt."""
    draws = torch.rand(1000, ATTEMPTS, 4, generator=torch.Generator().manual_seed(0))
    settings = {
        "rows": 14,
        "columns": 14,
        "target": torch.full((1000,), 147),
        "smallest": 16,
        "largest": 147,
        "min_aspect": 0.3,
    }
    before = place_blocks(draws[:, : ATTEMPTS - 1], **settings) > 0
    after = place_blocks(draws, **settings) > 0
    assert (before == after).flatten(1).all(1).float().mean() > 0.998


def test_blocks_of_an_image_go_by_no_other_image_of_the_batch():
    """Where no later attempt would count, attempts end; ages are as if they went on."""
    draws = torch.rand(20, ATTEMPTS, 4, generator=torch.Generator().manual_seed(0))
    target = torch.arange(20) * 3
    together = place_blocks(draws, 8, 8, target, 4, 64, 0.3)
    for number in range(20):
        one = slice(number, number + 1)
        alone = place_blocks(draws[one], 8, 8, target[one], 4, 64, 0.3)
        assert torch.equal(alone, together[one])


def test_area_and_aspect_of_a_block_go_from_the_least_to_the_most():
    draws = torch.tensor([[[0.0] * 4], [[1.0, 1.0, 0.0, 0.0]]])
    hidden = place_blocks(draws, 100, 100, torch.tensor([1500, 1500]), 400, 1500, 0.3) > 0
    # roots of 400 * 0.3 and 1500 / 0.3; of 400 / 0.3 and 1500 * 0.3
    assert hidden.any(2).sum(1).tolist() == [11, 71]
    assert hidden.any(1).sum(1).tolist() == [37, 21]


def test_the_smallest_block_is_a_third_of_the_shorter_side_squared_where_nobody_says():
    assert smallest_block((14, 14), None) == 16  # BEiT's
    assert (smallest_block((8, 20), None), smallest_block((2, 2), None)) == (4, 1)
    assert smallest_block((14, 14), 9) == 9


def test_limits_on_a_block_are_kept(batch_of):
    batch = batch_of(torch.zeros(200, 3, 1, 1))
    largest = [
        max((rank.floor() == age).sum().item() for age in range(1, ATTEMPTS + 1))
        for rank in Block(0.5, min_patches=4, max_patches=9)(batch, (14, 14)).rank
    ]
    assert max(largest) == 9


@pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU"
)
def test_it_compiles_into_one_graph_and_ranks_the_same(batch_of):
    batch = batch_of(torch.zeros(16, 3, 1, 1))
    score = Block(0.5)
    compiled = torch.compile(lambda batch: score(batch, (8, 8)).rank, fullgraph=True)
    assert torch.equal(compiled(batch), score(batch, (8, 8)).rank)


def test_settings_that_cannot_work_are_refused(batch_of):
    with pytest.raises(ValueError, match=r"ratio=1\.5"):
        Block(1.5)
    with pytest.raises(ValueError, match="min_patches=0 does not fit; it should be at least 1"):
        Block(0.5, min_patches=0)
    with pytest.raises(ValueError, match="min_patches <= max_patches"):
        Block(0.5, min_patches=9, max_patches=4)
    with pytest.raises(ValueError, match="min_aspect=0"):
        Block(0.5, min_aspect=0)
    with pytest.raises(ValueError, match="min_patches may be at most 9"):
        Block(0.5, min_patches=16)(batch_of(torch.zeros(1, 3, 1, 1)), (4, 4))
