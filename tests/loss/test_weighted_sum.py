import pytest
import torch
from torch import nn

from mim.geometry import Geometry
from mim.loss.consistency import Consistency
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.ranking import Ranking
from mim.target.hog import HOG
from mim.target.pixel import Pixel

IMAGE = torch.arange(2 * 3 * 8 * 8.0).sin().view(2, 3, 8, 8)
SPLIT = ParallelParts(4)(Ranking(torch.arange(32.0).cos().view(2, 16)))
PIXELS = torch.arange(2 * 4 * 12 * 12.0).sin().view(2, 4, 12, 12)
HISTOGRAMS = torch.arange(2 * 4 * 12 * 27.0).cos().view(2, 4, 12, 27)


def test_terms_are_weighted_and_each_is_known_by_its_name():
    pixel, consistency = Term(Pixel(Geometry.of(2, 2))), Consistency(geometry=Geometry.of(2, 2))
    loss = WeightedSum({"pixel": pixel, "agreement": consistency}, {"pixel": 2.0, "agreement": 0.5})
    terms = loss.terms({"pixel": PIXELS}, IMAGE, SPLIT)
    assert terms == {
        "pixel": pixel(PIXELS, IMAGE, SPLIT),
        "agreement": consistency(PIXELS, IMAGE, SPLIT),
    }
    expected = 2 * terms["pixel"] + terms["agreement"] / 2
    assert loss({"pixel": PIXELS}, IMAGE, SPLIT).item() == pytest.approx(expected.item(), rel=1e-6)
    assert loss.target_dims == {"pixel": 12}


def test_each_term_that_predicts_has_a_prediction_of_its_own():
    pixel, hog = Term(Pixel(Geometry.of(2, 2))), Term(HOG(Geometry.of(2, 2), cells=1))
    loss = WeightedSum({"hog": hog, "pixel": pixel}, {"hog": 3.0, "pixel": 1.0})
    assert list(loss.target_dims.items()) == [("hog", 27), ("pixel", 12)]  # in their order
    predictions = {
        "pixel": PIXELS.clone().requires_grad_(),
        "hog": HISTOGRAMS.clone().requires_grad_(),
    }
    loss(predictions, IMAGE, SPLIT).backward()
    alone = HISTOGRAMS.clone().requires_grad_()
    hog(alone, IMAGE, SPLIT).backward()
    assert torch.allclose(predictions["hog"].grad, 3 * alone.grad)
    assert loss.terms(predictions, IMAGE, SPLIT) == {
        "pixel": pixel(PIXELS, IMAGE, SPLIT),
        "hog": hog(HISTOGRAMS, IMAGE, SPLIT),
    }


def test_a_term_looks_at_the_prediction_that_it_names():
    terms = {
        "pixel": Term(Pixel(Geometry.of(2, 2))),
        "hog": Term(HOG(Geometry.of(2, 2), cells=1)),
        "agreement": Consistency(of="hog", geometry=Geometry.of(2, 2)),
    }
    loss = WeightedSum(terms, {"pixel": 0.0, "hog": 0.0, "agreement": 1.0})
    assert loss.target_dims == {"pixel": 12, "hog": 27}
    predictions = {"pixel": PIXELS, "hog": HISTOGRAMS}
    expected = Consistency(geometry=Geometry.of(2, 2))(HISTOGRAMS, IMAGE, SPLIT)
    assert torch.equal(loss(predictions, IMAGE, SPLIT), expected)
    assert expected != Consistency(geometry=Geometry.of(2, 2))(PIXELS, IMAGE, SPLIT)


def test_a_term_alone_is_the_sum_of_it():
    hog = Term(HOG(Geometry.of(2, 2), cells=1))
    loss = WeightedSum.of_one(hog)
    assert loss.target_dims == {"hog": 27}
    assert torch.equal(loss({"hog": HISTOGRAMS}, IMAGE, SPLIT), hog(HISTOGRAMS, IMAGE, SPLIT))
    assert WeightedSum.of_one(loss) is loss


def test_a_term_without_weight_is_watched_but_teaches_nothing():
    def gradient(loss: nn.Module, prediction: torch.Tensor) -> torch.Tensor:
        loss(
            {"pixel": prediction} if isinstance(loss, WeightedSum) else prediction, IMAGE, SPLIT
        ).backward()
        return prediction.grad

    watched = WeightedSum(
        {
            "pixel": Term(Pixel(Geometry.of(2, 2))),
            "consistency": Consistency(geometry=Geometry.of(2, 2)),
        },
        {"pixel": 0.0, "consistency": 1.0},
    )
    ours, theirs = (
        gradient(loss, PIXELS.clone().requires_grad_())
        for loss in (watched, Consistency(geometry=Geometry.of(2, 2)))
    )
    assert torch.equal(ours, theirs)
    assert watched.terms({"pixel": PIXELS}, IMAGE, SPLIT)["pixel"] > 0


@pytest.mark.parametrize(
    ("terms", "weights", "message"),
    [
        (
            {"pixel": Term(Pixel(Geometry.of(2, 2)))},
            ["pixels"],
            "the terms pixel and weights for pixels; each term needs one weight",
        ),
        (
            {"pixel": Term(Pixel(Geometry.of(2, 2)))},
            ["pixel", "hog"],
            "the terms pixel and weights for pixel, hog; each term needs",
        ),
        (
            {"a": Consistency(geometry=Geometry.of(2, 2))},
            None,
            "Consistency alone does not say how many values a patch has; add it to a loss",
        ),
        (
            {
                "raw": Term(Pixel(Geometry.of(2, 2))),
                "hog": Term(HOG(Geometry.of(2, 2), cells=1)),
                "agreement": Consistency(geometry=Geometry.of(2, 2)),
            },
            None,
            r"loss\.term\.agreement\.of=pixel names no term that predicts; allowed: raw, hog$",
        ),
        (
            {
                "pixel": Term(Pixel(Geometry.of(2, 2))),
                "a": Consistency(of="a", geometry=Geometry.of(2, 2)),
            },
            None,
            r"loss\.term\.a\.of=a names no term that predicts; allowed: pixel$",
        ),
        (
            {"pixel": Term(Pixel(Geometry.of(2, 2))), "other": nn.MSELoss()},
            None,
            "the term other is a MSELoss, which predicts nothing and",
        ),
        (
            {"loss": Term(Pixel(Geometry.of(2, 2)))},
            None,
            "a term of a loss cannot be called 'loss'; give it another name",
        ),
        (
            {"keys": Term(Pixel(Geometry.of(2, 2)))},
            None,
            "a term of a loss cannot be called 'keys'",
        ),
        (
            {"training": Term(Pixel(Geometry.of(2, 2)))},
            None,
            "a term of a loss cannot be called 'training'",
        ),
        (
            {"low.pixel": Term(Pixel(Geometry.of(2, 2)))},
            None,
            r"a term of a loss cannot be called 'low\.pixel'",
        ),
    ],
)
def test_terms_that_do_not_go_together_are_refused(terms, weights, message):
    with pytest.raises(ValueError, match=message):
        WeightedSum(terms, dict.fromkeys(weights or terms, 1.0))


class Counted(Pixel):
    """Pixels, and how often they were asked for."""

    calls = 0

    def forward(self, *inputs):
        self.calls += 1
        return super().forward(*inputs)


def test_a_target_of_two_terms_is_made_once_a_step():
    target, others = Counted(Geometry.of(2, 2)), PIXELS.cos()
    built = [target]
    terms = {"again": Term("pixel", "l1"), "pixel": Term(lambda geometry: built.pop())}
    loss = WeightedSum(terms, {"again": 1.0, "pixel": 1.0})
    assert loss.fit(Geometry.of(8, 2)) == {"again": 12, "pixel": 12}
    found = loss.terms({"again": others, "pixel": PIXELS}, IMAGE, SPLIT)
    assert target.calls == 1
    assert found == {
        "again": Term(Pixel(Geometry.of(2, 2)), "l1")(others, IMAGE, SPLIT),
        "pixel": Term(Pixel(Geometry.of(2, 2)))(PIXELS, IMAGE, SPLIT),
    }


@pytest.mark.parametrize("name", ["other", "again", "agreement"])
def test_a_target_of_a_term_that_has_none_of_its_own_is_refused(name):
    terms = {
        "pixel": Term(Pixel(Geometry.of(2, 2))),
        "again": Term(name),
        "agreement": Consistency(of="pixel", geometry=Geometry.of(2, 2)),
    }
    with pytest.raises(
        ValueError, match=rf"again.target={name} names no term .*; allowed: pixel, or a target"
    ):
        WeightedSum(terms, dict.fromkeys(terms, 1.0))


def test_the_name_of_a_target_alone_is_refused():
    with pytest.raises(ValueError, match=r"target=pixel names no term that has .*: none here, or"):
        WeightedSum.of_one(Term("pixel"))
