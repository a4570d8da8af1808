import pytest
import torch
from torch import nn

from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.masker.score.ranking import Ranking


class Brightness(nn.Module):
    """A score that looks at tokens."""

    needs_tokens = True

    def forward(self, batch, grid, tokens=None):
        return Ranking(tokens.mean(-1))


def test_a_masker_is_its_score_cut_by_its_partition(batch_of):
    batch = batch_of(torch.zeros(4, 3, 1, 1))
    split = Masker(Random(), FixedRatio(0.75))(batch, (4, 4))
    expected = FixedRatio(0.75)(Random()(batch, (4, 4)))
    assert torch.equal(split.masked, expected.masked)
    assert torch.equal(split.visible, expected.visible)


def test_simmim_masks_whole_cells_and_rounds_their_count_up(batch_of):
    """3 of 4 cells of 2 x 2 patches: microsoft/SimMIM, data_simmim.py, at 64 pixels."""
    masker = Masker(Random(), FixedRatio(0.6, "mask_up"), cell=2)
    masked = masker(batch_of(torch.zeros(50, 3, 1, 1)), (4, 4)).masked[:, 0]
    # cell row, row, cell column, column
    hidden = torch.zeros(50, 16).scatter(1, masked, 1.0).view(50, 2, 2, 2, 2)
    of_cells = hidden.mean((2, 4))
    assert set(of_cells.flatten().tolist()) == {0.0, 1.0}
    assert of_cells.sum((1, 2)).eq(3).all()


def test_a_score_that_needs_tokens_gets_them(batch_of):
    masker = Masker(Brightness(), FixedRatio(0.5))
    assert masker.needs_tokens
    assert not Masker(Random(), FixedRatio(0.5)).needs_tokens
    tokens = torch.tensor([[[1.0], [4.0], [3.0], [2.0]]], requires_grad=True)
    split = masker(batch_of(torch.zeros(1, 3, 1, 1)), (2, 2), tokens)
    assert split.masked.tolist() == [[[1, 2]]]


def test_masks_of_an_image_do_not_depend_on_its_neighbours(batch_of):
    batch = batch_of(torch.zeros(6, 3, 1, 1))
    masker = Masker(Random(), FixedRatio(0.75))
    part = batch.some(slice(2, 4))
    assert torch.equal(masker(part, (4, 4)).masked, masker(batch, (4, 4)).masked[2:4])


def test_a_cell_must_hold_a_patch_and_tile_the_grid(batch_of):
    with pytest.raises(ValueError, match="cell=0 does not fit; it should be at least 1"):
        Masker(Random(), FixedRatio(0.5), cell=0)
    with pytest.raises(ValueError, match=r"masker.cell may be 1, 2, 4"):
        Masker(Random(), FixedRatio(0.5), cell=3)(batch_of(torch.zeros(1, 3, 1, 1)), (4, 4))
