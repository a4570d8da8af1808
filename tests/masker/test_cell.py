import pytest
import torch

from mim.masker.cell import cells_of, pool_to_cells, split_to_patches
from mim.masker.score.ranking import Ranking
from mim.masker.split import Split


def test_the_score_of_a_cell_is_the_mean_of_its_patches():
    # 2 x 4 patches: two cells side by side
    rank = torch.tensor([[0.0, 1, 2, 3], [4, 5, 6, 7]]).flatten()[None]
    pooled = pool_to_cells(Ranking(rank, salience=rank / 10), (1, 2), cell=2)
    assert pooled.rank.tolist() == [[2.5, 4.5]]
    assert pooled.salience.flatten().tolist() == pytest.approx([0.25, 0.45])


def test_a_cell_spreads_to_its_patches():
    visible, masked = torch.tensor([[[0]]]), torch.tensor([[[5, 1]]])
    split = split_to_patches(Split(visible, masked), (2, 3), cell=2)  # 4 x 6 patches
    assert split.visible.tolist() == [[[0, 1, 6, 7]]]
    assert split.masked.tolist() == [[[16, 17, 22, 23, 2, 3, 8, 9]]]


def test_padding_spreads_with_its_cell():
    index = torch.tensor([[[0, 1]]])
    split = split_to_patches(
        Split(index, index, None, torch.tensor([[[True, False]]]), whole=True), (1, 2), cell=2
    )
    assert split.whole
    assert split.visible_valid is None
    assert split.masked_valid.tolist() == [[[True] * 4 + [False] * 4]]


@pytest.mark.parametrize(("cells", "cell"), [((2, 3), 2), ((3, 2), 3), ((1, 4), 1)])
def test_all_cells_together_are_all_patches_once(cells, cell):
    every = torch.arange(cells[0] * cells[1])[None, None]
    patches = split_to_patches(Split(every, every), cells, cell).masked
    assert torch.equal(patches.flatten().sort().values, torch.arange(cells[0] * cells[1] * cell**2))


@pytest.mark.parametrize("cell", [3, 4])
def test_cells_that_do_not_tile_the_grid_are_refused_with_those_that_do(cell):
    assert cells_of((4, 6), 2) == (2, 3)
    with pytest.raises(
        ValueError,
        match=rf"{cell} x {cell} patches do not tile a grid of 4 x 6 patches; .* may be 1, 2$",
    ):
        cells_of((4, 6), cell)
