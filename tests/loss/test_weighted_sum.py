import pytest
import torch
from torch import nn

from mim.loss.consistency import Consistency
from mim.loss.term import HOG, Pixel
from mim.loss.weighted_sum import WeightedSum
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.ranking import Ranking

IMAGE = torch.arange(2 * 3 * 8 * 8.0).sin().view(2, 3, 8, 8)
SPLIT = ParallelParts(4)(Ranking(torch.arange(32.0).cos().view(2, 16)))
PREDICTION = torch.arange(2 * 4 * 12 * 12.0).sin().view(2, 4, 12, 12)


def test_terms_are_weighted_and_each_is_known_by_its_name():
    pixel, consistency = Pixel(2), Consistency(2)
    loss = WeightedSum({"pixel": pixel, "agreement": consistency}, {"pixel": 2.0, "agreement": 0.5})
    terms = loss.terms(PREDICTION, IMAGE, SPLIT)
    assert terms == {
        "pixel": pixel(PREDICTION, IMAGE, SPLIT),
        "agreement": consistency(PREDICTION, IMAGE, SPLIT),
    }
    expected = 2 * terms["pixel"] + terms["agreement"] / 2
    assert loss(PREDICTION, IMAGE, SPLIT).item() == pytest.approx(expected.item(), rel=1e-6)
    assert loss.target_dim == 12


def test_a_term_without_weight_is_watched_but_teaches_nothing():
    def gradient(loss: nn.Module) -> torch.Tensor:
        prediction = PREDICTION.clone().requires_grad_()
        loss(prediction, IMAGE, SPLIT).backward()
        return prediction.grad

    watched = WeightedSum({"pixel": Pixel(2), "consistency": Consistency(2)}, {"pixel": 0.0, "consistency": 1.0})
    assert torch.equal(gradient(watched), gradient(Consistency(2)))
    assert watched.terms(PREDICTION, IMAGE, SPLIT)["pixel"] > 0


def test_terms_that_want_different_targets_are_refused():
    with pytest.raises(ValueError, match="different numbers of values per patch: pixel 12, hog 27"):
        WeightedSum({"pixel": Pixel(2), "hog": HOG(2, cells=1)}, {"pixel": 1.0, "hog": 1.0})


def test_a_term_without_a_weight_of_its_name_is_refused():
    with pytest.raises(ValueError, match=r"the terms pixel and weights for pixels; each term needs one weight"):
        WeightedSum({"pixel": Pixel(2)}, {"pixels": 1.0})
