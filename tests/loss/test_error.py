import pytest
import torch
from torch.nn.functional import mse_loss

from mim.geometry import Geometry
from mim.loss.error import ERRORS, cosine, l1, l2, smooth_l1
from mim.loss.term import Term
from mim.masker.split import Split
from mim.target.pixel import Pixel

OF_VALUES = [error for error in ERRORS if error != "cross_entropy"]  # that is of codes
TARGET = torch.tensor([[[[3.0, 4.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]]])  # (1, 1, 2, 4)


@pytest.mark.parametrize(
    ("error", "prediction", "expected"),
    [
        (l1, [3.5, 4.0, -2.0, 0.0], 2.5 / 4),
        (l2, [3.5, 4.0, -2.0, 0.0], 4.25 / 4),
        (smooth_l1, [3.5, 4.0, -2.0, 0.0], (0.125 + 1.5) / 4),
        (cosine, [4.0, -3.0, 0.0, 9.0], 1.0),  # a right angle
        (cosine, [30.0, 40.0, 0.0, 0.0], 0.0),
        (cosine, [-3.0, -4.0, 0.0, 0.0], 2.0),
        (cosine, [0.0, 0.0, 0.0, 0.0], 1.0),
    ],
)
def test_each_patch_has_one_error(error, prediction, expected):
    values = torch.stack([torch.tensor(prediction), TARGET[0, 0, 1]])[None, None]
    assert error(values, TARGET).shape == (1, 1, 2)
    assert error(values, TARGET).flatten().tolist() == pytest.approx([expected, 0.0], abs=1e-6)


@pytest.mark.parametrize("name", OF_VALUES)
def test_the_target_itself_costs_nothing_and_no_error_is_negative(name):
    values = torch.randn(
        3, 2, 5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    assert ERRORS[name](values, values).abs().max() < 1e-12
    assert (ERRORS[name](values, values.flip(0)) > -1e-12).all()


def test_half_the_squared_distance_of_unit_vectors_is_their_cosine_error():
    one, other = torch.nn.functional.normalize(
        torch.randn(2, 1, 1, 7, 6, dtype=torch.float64), dim=-1
    )
    assert torch.allclose(cosine(one, other), l2(one, other) * 6 / 2)
    assert l2(one, other).mean().item() == pytest.approx(mse_loss(one, other).item())


@pytest.mark.parametrize("name", OF_VALUES)
def test_padding_counts_for_nothing_whatever_the_error(name):
    term, image = (
        Term(Pixel(Geometry.of(4, 4)), name),
        torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),
    )
    masked = torch.tensor([[[3, 1]], [[0, 2]]])
    split = Split(
        torch.tensor([[[0]], [[3]]]),
        masked,
        masked_valid=torch.tensor([[[True, True]], [[True, False]]]),
    )
    prediction = torch.ones(2, 1, 2, 48)
    prediction[1, 0, 1] = torch.arange(48.0)
    before = term(prediction, image, split)
    prediction[1, 0, 1] = -1e6
    assert torch.equal(term(prediction, image, split), before)
    each = ERRORS[name](prediction, term.target(image, split)).flatten()[:3]
    assert before.item() == pytest.approx(each.mean().item(), rel=1e-6)
