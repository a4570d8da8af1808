"""Prototypes: what agrees costs little, a collapse costs much, and Sinkhorn's rounds use all
prototypes alike.
"""

import math

import pytest
import torch
from timm.optim import param_groups_weight_decay

from mim.loss.across_views import AcrossViews
from mim.loss.prototypes import PrototypeMatch
from mim.optim.number import Lines
from mim.part import Progress
from mim.views import Seen, Shown


def corners(**settings):
    """A term whose prototypes are the axes of four dimensions."""
    term = PrototypeMatch(4, 4, **settings)
    term.prototypes.data.copy_(torch.eye(4))
    return term


def test_a_worked_example():
    """Of two prototypes a view has cosines 1 and 0: e^2 / (e^2 + 1) at a temperature of 1/2; the
    target, sharpened by 1/2, e^4.
    """
    term = PrototypeMatch(2, 2, temperature=0.5, sharpening=0.5, sinkhorn=0, mean_entropy=0.0)
    term.prototypes.data.copy_(torch.eye(2))
    view = torch.tensor([[[3.0, 0.0]]])
    p, t = math.exp(2) / (math.exp(2) + 1), math.exp(4) / (math.exp(4) + 1)
    expected = -(t * math.log(p) + (1 - t) * math.log(1 - p))
    assert term(Shown(view), Seen(view)).item() == pytest.approx(expected, rel=1e-5)


def test_a_collapse_costs_the_logarithm_of_the_number_of_prototypes():
    term, one = corners(temperature=0.01), torch.eye(4)[:1].expand(1, 8, -1)
    spread = torch.eye(4).repeat(2, 1)[None]
    assert term(Shown(spread), Seen(spread)).item() == pytest.approx(0.0, abs=1e-5)
    assert corners(temperature=0.01, sinkhorn=0)(Shown(one), Seen(one)).item() == pytest.approx(
        math.log(4), rel=1e-5
    )


def test_targets_use_all_prototypes_alike_and_do_not_change_the_order_of_images():
    torch.manual_seed(0)
    term, vectors = PrototypeMatch(8, 6, temperature=1.0, sinkhorn=50), torch.randn(12, 8)
    targets = term.targets(vectors)
    assert torch.allclose(targets.sum(1), torch.ones(12))
    assert torch.allclose(targets.sum(0), torch.full((6,), 2.0), atol=1e-3)
    turn = torch.randperm(12)
    assert torch.allclose(term.targets(vectors[turn]), targets[turn], atol=1e-5)
    assert not targets.requires_grad


def test_the_sharpening_follows_its_schedule():
    term = corners(sharpening=Lines([1.0, 0.5], [0, 10]), sinkhorn=0)
    vectors = torch.tensor([[1.0, 0.9, 0.0, 0.0]])
    flat = term.targets(vectors).max()
    term.begin_step(Progress(10, 20, 1))
    assert term.sharpening == 0.5
    assert term.targets(vectors).max() > flat


def test_vectors_of_half_precision_are_compared_in_float32():
    torch.manual_seed(0)
    term, vectors = PrototypeMatch(4, 6), torch.randn(8, 4).bfloat16()
    assert torch.equal(term.cosines(vectors), term.cosines(vectors.float()))
    with torch.autocast("cpu", torch.bfloat16):  # as where weights are gathered in bf16
        assert term.bfloat16().cosines(vectors).dtype == torch.float32


def test_a_prototype_without_a_length_is_like_no_vector():
    term = corners()
    with torch.no_grad():
        term.prototypes[2] = 0
    assert term.cosines(torch.ones(1, 4))[0].tolist() == pytest.approx([5, 5, 0, 5])


def test_a_checkpoint_has_the_prototypes_and_no_number_that_follows_from_the_step():
    assert PrototypeMatch(4, 6).state_dict().keys() == {"prototypes"}


def test_prototypes_begin_uniform_between_bounds_that_go_by_their_width():
    """facebookresearch/msn, src/msn_train.py: one over the root of the width."""
    torch.manual_seed(0)
    prototypes = PrototypeMatch(out=25, prototypes=400).prototypes
    assert 0.19 < prototypes.abs().max().item() <= 0.2
    assert prototypes.std().item() == pytest.approx(0.2 / 3**0.5, rel=0.02)


def test_prototypes_are_trained_and_not_decayed():
    loss = AcrossViews({"match": PrototypeMatch(4, 4)}, {"match": 1.0})
    assert loss.no_weight_decay() == {"term.match.prototypes"}
    groups = param_groups_weight_decay(loss, 0.1, no_weight_decay_list=loss.no_weight_decay())
    assert [group["weight_decay"] for group in groups if group["params"]] == [0.0]
    view = torch.randn(2, 3, 4)
    loss.term["match"](Shown(view), Seen(view[:1])).backward()
    assert loss.term["match"].prototypes.grad.abs().max() > 0


def test_no_temperature_is_refused():
    with pytest.raises(ValueError, match=r"temperature=0 does not fit; it should be more than 0"):
        PrototypeMatch(temperature=0)
    with pytest.raises(ValueError, match=r"sharpening=0.0 does not fit; it should be more than 0"):
        PrototypeMatch(sharpening=0.0)
