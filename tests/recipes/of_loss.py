"""Facts of a loss and of its teacher: targets, errors and weights, by what they make of known
values.
"""

import math
from typing import Any

import torch

from mim.loss.across_views import AcrossViews
from mim.loss.prototypes import PrototypeMatch
from mim.loss.weighted_sum import WeightedSum
from mim.masker.split import Split
from mim.optim.number import Lines, number_at
from mim.part import Progress
from mim.target.hog import HOG
from tests.recipes.facts import Facts
from tests.recipes.known import Known, KnownAlone, two_views


def teacher_facts(teacher: Any, epochs: int) -> Facts:
    """Momentum at the first and the last step, where it turns, and what is averaged."""
    first, last = (
        number_at(teacher.momentum, Progress(step, 10 * epochs, 10)) for step in (0, 10 * epochs)
    )
    facts = {"teacher.ema.start": first, "teacher.ema.end": last, "teacher.of": list(teacher.of)}
    facts |= {"teacher.late": True} if teacher.late else {}
    if isinstance(teacher.momentum, Lines):
        for epoch in (100, 400):
            facts[f"teacher.ema.at_epoch_{epoch}"] = teacher.momentum(
                Progress(10 * epoch, 10 * epochs, 10)
            )
    return {name: _digits(value) for name, value in facts.items()}


def _digits(value: Any) -> Any:
    """A share near 1 by what is left of it, which would be lost in a comparison of shares."""
    return (
        value
        if not isinstance(value, float)
        else round(value, 9)
        if value < 0.99
        else f"1 - {1 - value:.3e}"
    )


OF_TERMS = {
    "ViewContrast": ("out", "temperature"),
    "PrototypeMatch": ("out", "temperature", "sharpening", "sinkhorn", "mean_entropy", "entropy"),
}
"""Settings of terms across views that are compared as they are: what they do with them, parity
tests compare.
"""


def _across_views(loss: AcrossViews) -> Facts:
    """Of each term: its weight, the student's temperature, the teacher's over the epochs, and how
    its centre moves.
    """
    facts: Facts = {}
    for name, term in loss.term.items():
        if type(term).__name__ in OF_TERMS:
            facts |= {
                f"loss.{name}.{key}": getattr(term, key) for key in OF_TERMS[type(term).__name__]
            }
            facts |= {f"loss.{name}.weight": loss.weight[name]}
            if isinstance(term, PrototypeMatch):
                facts[f"loss.{name}.prototypes"] = len(term.prototypes)
            continue
        target: Any = term.target
        at = [
            round(number_at(target.temperature, Progress(epoch, 2000, 1)), 6)
            for epoch in range(200)
        ]
        facts |= {
            f"loss.{name}.weight": loss.weight[name],
            f"loss.{name}.prototypes": term.out,
            f"loss.{name}.temperature_student": term.student_temperature,
            f"teacher.temperature_{name}.start": at[0],
            f"teacher.temperature_{name}.end": at[-1],
            f"teacher.temperature_{name}.warmup_epochs": at.index(at[-1]) + 1
            if at[0] != at[-1]
            else 0,
            f"teacher.centre_momentum.{name}": target.momentum,
        }
    return facts


def _two_terms(loss: WeightedSum) -> Facts:
    """BootMAE's: what is predicted, how two of four patches that are off by 3 are judged, and the
    weights over the epochs.
    """
    split = Split(torch.tensor([[[1, 2]]]), torch.tensor([[[0, 3]]]))
    facts: Facts = {}
    pixel, feature = loss.term["pixel"], loss.term["feature"]
    pixel.grid = feature.grid = (2, 2)
    side = 2 * pixel.target.geometry.patch_size[0]
    image = torch.rand(1, 3, side, side)
    values = pixel.target(image, split)
    spread = values.unflatten(-1, (-1, 3)).std(-2, correction=0)
    facts["target.pixel.normalised"] = bool((spread - 1).abs().max() < 1e-2)
    facts["target.pixel.off_by_3"] = pixel(values + 3, image, split).item()
    known = Known(torch.rand(8))
    values = feature.target(image, split, known)
    facts["target.feature.blocks"] = [number - 1 for number in known.asked]
    facts["target.feature.as_it_is"] = bool(
        (values - known.asked[-1] ** 2 * known.values).abs().max() < 1e-5
    )
    facts["target.feature.error_of_twice_and_more"] = round(
        feature(2 * values + 5, image, split, known).item(), 4
    )
    facts["target.feature.error_of_the_opposite"] = feature(-values, image, split, known).item()
    for name, weight in loss.weight.items():
        at = [number_at(weight, Progress(10 * epoch, 8010, 10)) for epoch in (0, 100, 200, 800)]
        facts[f"target.{name}.weights"] = [round(each, 5) for each in at]
    return facts


def loss_facts(loss: Any, depth: int) -> Facts:
    """How a prediction that is 3 off is judged, and whether the target is standardised."""
    if isinstance(loss, AcrossViews):
        return _across_views(loss)
    if set(loss.term) == {"pixel", "feature"}:
        return _two_terms(loss)
    if set(loss.term) == {"codes", "aggregated"}:
        again = loss.term["aggregated"]
        return _codes(loss.term["codes"]) | {
            "loss.weights": dict(loss.weight),
            "loss.aggregated": [again.like, again.error],
        }
    if set(loss.term) == {"codes", "align"}:
        return (
            _codes(loss.term["codes"])
            | _alignment(loss.term["align"])
            | {"loss.weights": dict(loss.weight)}
        )
    if "pixel" not in loss.term:
        (term,) = loss.term.values()
        if isinstance(term.target, HOG):
            return _hog(term)
        return _codes(term) if term.error == "cross_entropy" else _features(term, depth)
    terms, pixel = loss.term, loss.term["pixel"]
    side = 2 * pixel.target.geometry.patch_size[0]
    image = torch.rand(1, 3, side, side)
    split = Split(torch.tensor([[[1, 2]]]), torch.tensor([[[0, 3]]]))
    target = pixel.target(image, split)
    spread = target.std(-1)
    off_by_3 = pixel(target + 3, image, split)
    facts = {
        "target.normalised": bool((spread - 1).abs().max() < 1e-3),
        "target.values_of_a_patch": target.shape[-1],
        "target.error": {9.0: "l2", 3.0: "l1"}[round(off_by_3.item(), 3)],
        "loss.weights": dict(loss.weight),
    }
    if "contrast" in terms:
        contrast, alike = terms["contrast"], torch.ones(2, 1, 4)
        told = contrast(alike, two_views(), Known(torch.ones(4)))
        facts |= {
            "loss.contrast.temperature": contrast.temperature,
            "loss.contrast.of_two_told_alike": told.item(),
        }
    if "consistency" in terms:
        facts |= {"loss.consistency.error": terms["consistency"].error}
        facts |= {"loss.consistency.stop_gradient": terms["consistency"].stop_gradient}
    return facts


def _hog(term: Any) -> Facts:
    """Sizes of the histograms, their gradient, and how a prediction that is 3 off is judged."""
    split = Split(torch.tensor([[[1, 2]]]), torch.tensor([[[0, 3]]]))
    image = torch.rand(1, 3, *(2 * side for side in term.target.geometry.patch_size))
    off_by_3 = term(term.target(image, split) + 3, image, split).item()
    return {
        "target.kind": "hog",
        "target.bins": term.target.bins,
        "target.cells": term.target.cells,
        "target.gradient": term.target.gradient,
        "target.error": {9.0: "l2", 3.0: "l1"}[round(off_by_3, 3)],
    }


def _alignment(term: Any) -> Facts:
    """What a teacher is shown of 2 x 2 patches, and how a prediction that is 3 off is judged."""
    known = KnownAlone(torch.arange(8.0))
    split = Split(torch.tensor([[[1, 2]]]), torch.tensor([[[0, 3]]]))
    image = torch.rand(1, 3, 32, 32)
    off_by_3 = term(term.target(image, split, known) + 3, image, split, known).item()
    alone = known.asked == [known.depth] and known.normed and torch.equal(known.seen, split.masked)
    return {
        "target.align.of": "masked patches alone" if alone else "others",
        "target.align.error": {9.0: "l2", 3.0: "l1"}[round(off_by_3, 3)],
    }


def _features(term: Any, depth: int) -> Facts:
    """Which blocks a target averages, what norms do to them, and how a prediction that is off is
    judged.
    """
    known = Known(torch.arange(8.0), depth)
    split = Split(torch.tensor([[[1, 2]]]), torch.tensor([[[0, 3]]]))
    image = torch.rand(1, 3, 32, 32)
    target = term.target(image, split, known)
    errors = [term(target + off, image, split, known).item() for off in (1.0, 100.0)]
    # smooth L1: off squared over 2 beta, and off less half of beta
    beta = 0.5 / errors[0]
    is_smooth = math.isclose(errors[1], 100 - beta / 2, rel_tol=1e-3)
    return {
        "target.kind": "features",
        "target.blocks": [number - 1 for number in known.asked],
        "target.norms": [list(term.target.each), list(term.target.mean)],
        "target.eps": term.target.eps,
        "target.final_norm": term.target.final_norm,
        "target.of_each": term.target.of,
        "target.loss": {"kind": "smooth L1" if is_smooth else "another", "beta": round(beta, 4)},
    }


def _codes(term: Any) -> Facts:
    """How many codes are scored, whose they are, and that pixels are put back as they were
    normalised.
    """
    return {
        "target.kind": "codes",
        "target.codes": term.target.codes,
        "target.error": term.error,
        "target.mean": "over all masked patches of the batch"
        if type(term).__name__ == "Term"
        else "another",
    }
