"""Images are told from each other by another view; what cannot be told costs as much as
guessing.
"""

import math

import pytest
import torch

from mim.batch import Batch, uncropped
from mim.loss.contrast import Contrast
from mim.loss.term import Comparison, Term
from mim.loss.weighted_sum import WeightedSum
from mim.target.pixel import Pixel


class Known:
    """A teacher that projects every image to a known vector."""

    depth = 4

    def __init__(self, key):
        self.key = key

    def __call__(self, image, blocks, through=None):
        self.asked = image, list(blocks), through
        return [self.key]


def views(count, number=2):
    image = torch.randn(number, count, 3, 8, 8)
    return Batch.of(image[0])._replace(views=tuple(uncropped(each) for each in image))


def test_a_worked_example():
    """Cosines 1 and 0 over a temperature of 1/2: the own image has e^2 / (e^2 + 1); all times twice
    the temperature.
    """
    key = torch.tensor([[2.0, 0.0], [0.0, 0.5]])
    vector = torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]]])
    batch, teacher = views(2), Known(key)
    found = Contrast(temperature=0.5)(vector, batch, teacher)
    assert found.item() == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 1)))
    image, blocks, through = teacher.asked
    assert image is batch.views[1].image
    assert (blocks, through) == ([4], "projector")


def test_images_that_cannot_be_told_apart_cost_as_much_as_guessing():
    found = Contrast(0.07)(torch.ones(5, 2, 3), views(5), Known(torch.ones(5, 3)))
    assert found.item() == pytest.approx(0.14 * math.log(5), rel=1e-5)


def test_parts_of_an_image_are_to_find_the_same_one():
    key = torch.eye(3)
    vector = key[:, None].expand(3, 2, 3)
    one = Contrast(0.1)(vector[:, :1], views(3), Known(key))
    assert Contrast(0.1)(vector, views(3), Known(key)).item() == pytest.approx(one.item())
    assert Contrast(0.1)(vector.flip(0), views(3), Known(key)) > one + 0.1


def test_the_order_of_images_does_not_matter_and_their_lengths_do_not():
    torch.manual_seed(0)
    key, vector, turn = torch.randn(6, 4), torch.randn(6, 1, 4), torch.randperm(6)
    plain = Contrast()(vector, views(6), Known(key))
    turned = Contrast()(vector[turn] * 3, views(6), Known(key[turn] / 7))
    assert turned.item() == pytest.approx(plain.item(), rel=1e-5)


def test_it_is_a_comparison_and_needs_a_teacher_a_second_view_and_a_temperature():
    term = Contrast()
    assert isinstance(term, Comparison)
    loss = WeightedSum({"pixel": Term(Pixel), "contrast": term}, {"pixel": 1.0, "contrast": 1.0})
    assert loss.needs_teacher
    assert (loss.predicting, loss.compared) == (["pixel"], {"contrast": "projector"})
    with pytest.raises(
        ValueError, match=r"two views .* has one; add augment@data.augment=shifted_pair .*margin=1 "
    ):
        term(torch.ones(2, 1, 3), views(2, 1), Known(torch.ones(2, 3)))
    with pytest.raises(
        ValueError, match="contrast compares images with what a teacher makes of them"
    ):
        loss.comparisons({"contrast": torch.ones(2, 1, 3)}, views(2), None)
    with pytest.raises(ValueError, match="temperature=0 does not fit; it should be more than 0"):
        Contrast(temperature=0)
