import pytest
import torch
from torch import nn

from mim.masker.independent import Independent
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.masker.split import Split

GRID = (8, 8)


@pytest.fixture
def batch(batch_of):
    return batch_of(torch.zeros(200, 3, 8, 8))


class Growing(nn.Module):
    """Hide one patch more at each call."""

    needs_tokens = False

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, batch, grid, tokens=None):
        self.calls += 1
        return Split(
            torch.zeros(2, 1, 3, dtype=torch.int64), torch.ones(2, 1, self.calls, dtype=torch.int64)
        )


def test_each_part_is_a_mask_of_its_own(batch):
    split = Independent(Masker(Random(), FixedRatio(0.75)), parts=3)(batch, GRID)
    assert split.visible.shape == (200, 3, 16)
    assert split.masked.shape == (200, 3, 48)
    assert split.masked_valid is None
    for part in torch.cat([split.visible, split.masked], dim=2).flatten(0, 1):
        assert torch.equal(part.sort().values, torch.arange(64))


def test_parts_overlap_as_chance_has_it(batch):
    split = Independent(Masker(Random(), FixedRatio(0.75)), parts=2)(batch, GRID)
    hidden = torch.zeros(200, 2, 64).scatter(2, split.masked, 1.0)
    # hypergeometric: mean 36, variance 48 * .75 * .25 * 16 / 63 = 2.3
    shared = (hidden[:, 0] * hidden[:, 1]).sum(1)
    assert abs(shared.mean() - 36) < 4 * (2.3 / 200) ** 0.5
    assert 1.5 < shared.var() < 3.3


def test_equal_keys_give_equal_masks_whatever_the_number_of_parts(batch):
    masker = Masker(Random(), FixedRatio(0.75))
    four = Independent(masker, parts=4)(batch, GRID).masked
    assert torch.equal(four, Independent(masker, parts=4)(batch, GRID).masked)
    assert torch.equal(four[:, :2], Independent(masker, parts=2)(batch, GRID).masked)


def test_parts_of_different_sizes_are_padded(batch):
    split = Independent(Growing(), parts=3)(batch, GRID)
    assert split.visible_valid is None
    assert split.masked.shape == (2, 3, 3)
    assert split.masked_valid[0].tolist() == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_it_says_what_it_is_made_of():
    masker = Masker(Random(), FixedRatio(0.75))
    independent = Independent(masker, parts=2)
    assert independent.kind == masker.kind == "Random x FixedRatio"
    assert not independent.needs_tokens


def test_no_mask_at_all_is_refused():
    with pytest.raises(ValueError, match="parts=0 does not fit; it should be at least 1"):
        Independent(Masker(Random(), FixedRatio(0.75)), parts=0)
