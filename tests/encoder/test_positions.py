import math

import pytest
import torch

from mim.encoder.positions import sincos_positions


def test_first_half_encodes_the_column_second_half_the_row():
    table = sincos_positions(8, (2, 3), cls=False)  # patch 5 stands in row 1, column 2
    column = [math.sin(2), math.sin(2 / 100), math.cos(2), math.cos(2 / 100)]
    row = [math.sin(1), math.sin(1 / 100), math.cos(1), math.cos(1 / 100)]
    assert table[5].tolist() == pytest.approx(column + row)


def test_the_cls_token_has_no_position():
    table = sincos_positions(8, (2, 3))
    assert table.shape == (7, 8)
    assert table[0].eq(0).all()
    assert torch.equal(table[1:], sincos_positions(8, (2, 3), cls=False))


def test_every_patch_of_a_grid_has_its_own_position():
    assert sincos_positions(16, (14, 10)).unique(dim=0).shape == (141, 16)


def test_a_width_that_is_no_multiple_of_four_is_refused():
    with pytest.raises(ValueError, match=r"width=18; needs a multiple of 4, e.g. 20"):
        sincos_positions(18, (2, 2))
