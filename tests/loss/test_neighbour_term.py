"""Errors count more where patches around are masked too; weights of terms may change over the
epochs.
"""

import pytest
import torch

from mim.geometry import Geometry
from mim.loss.error import ERRORS, normalised_l2
from mim.loss.neighbour_term import NeighbourTerm, masked_around
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.split import Split
from mim.optim.number import Lines
from mim.part import Progress
from mim.target.pixel import Pixel


def split(*masked, valid=None):
    masked = torch.tensor(masked)[None, None]
    return Split(
        torch.zeros(1, 1, 1, dtype=torch.int64),
        masked,
        None,
        None if valid is None else torch.tensor(valid)[None, None],
    )


def test_the_share_around_a_patch_counts_what_is_masked_and_nothing_beyond_the_border():
    # . X X      patch 1 has itself, 2 and 5; 2 the same three; 5 the same three and 8
    # . . X
    # . . X
    around = masked_around(split(1, 2, 5, 8), (3, 3))[0, 0]
    assert around.tolist() == pytest.approx([3 / 9, 3 / 9, 4 / 9, 2 / 9])


def test_padding_masks_nothing():
    around = masked_around(split(0, 8, 8, valid=[True, False, True]), (3, 3))[0, 0]
    assert around[[0, 2]].tolist() == pytest.approx([1 / 9, 1 / 9])
    assert masked_around(split(0, 1, valid=[True, False]), (3, 3))[0, 0, 0].item() == pytest.approx(
        1 / 9
    )


def test_an_error_is_weighted_by_one_and_the_share():
    image, where = torch.rand(1, 3, 6, 6), split(0, 1, 8)
    term = NeighbourTerm(Pixel(Geometry.of(6, 2)))
    term.fit(Geometry.of(6, 2))
    prediction = term.target(image, where)
    prediction[0, 0, 2] += 3.0  # patch 8 stands alone
    assert term(prediction, image, where).item() == pytest.approx(9 * (1 + 1 / 9) / 3, rel=1e-5)
    assert Term(Pixel(Geometry.of(6, 2)))(prediction, image, where).item() == pytest.approx(
        3, rel=1e-5
    )


def test_normalised_errors_know_no_scale_and_no_shift():
    torch.manual_seed(0)
    x = torch.randn(2, 1, 3, 16)
    assert normalised_l2(3 * x + 1, x).abs().max() < 1e-6
    assert torch.allclose(normalised_l2(-x, x), torch.full((2, 1, 3), 4.0), atol=1e-4)
    assert ERRORS["normalised_l2"] is normalised_l2


def test_a_weight_that_changes_is_that_of_the_step_and_of_no_other():
    terms = {"a": Term(Pixel(Geometry.of(6, 2))), "b": Term(Pixel(Geometry.of(6, 2)))}
    loss = WeightedSum(terms, {"a": 2.0, "b": Lines([0.0, 1.0], [0, 4])})
    values = {"a": torch.tensor(1.0), "b": torch.tensor(10.0)}
    assert loss.weigh(values).item() == 2.0  # before anything is said: as at the first step
    for step, expected in ((1, 4.5), (2, 7.0), (6, 12.0), (0, 2.0)):
        loss.begin_step(Progress(step, 8, 1))
        assert loss.weigh(values).item() == expected
    assert not loss.state_dict()
