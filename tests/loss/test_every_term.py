"""Any target goes with any error, model and encoder, alone, beside another, and under agreement of
parts: two steps of each.
"""

from functools import partial
from itertools import permutations

import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.consistency import Consistency
from mim.loss.error import ERRORS
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.masker import Masker
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.random import Random
from mim.masker.score.salience import Salience
from mim.model.cae import CAE
from mim.model.decoder import Decoder
from mim.model.latent_decoder import LatentDecoder
from mim.model.mae import MAE
from mim.model.regressor import Regressor
from mim.model.simmim import SimMIM
from mim.target.frequency import Frequency
from mim.target.hog import HOG
from mim.target.pixel import Pixel
from mim.target.target import Paintable, Target

PATCH = 8
OF_VALUES = [error for error in ERRORS if error != "cross_entropy"]  # that is of codes
TARGETS = {
    "pixel": lambda: Pixel(Geometry.of(PATCH, PATCH)),
    "raw": lambda: Pixel(Geometry.of(PATCH, PATCH), normalise=False),
    "hog": lambda: HOG(Geometry.of(PATCH, PATCH)),
    "frequency": lambda: Frequency(Geometry.of(PATCH, PATCH)),
    "low": lambda: Frequency(Geometry.of(PATCH, PATCH), keep=2),
}
DECODER = partial(Decoder, width=16, depth=1, heads=2)
REGRESSOR, LATENT_DECODER = (partial(part, depth=1, heads=2) for part in (Regressor, LatentDecoder))
MODELS = {
    "mae": lambda masker: partial(MAE, ViT(32, PATCH, 16, 1, 2), masker, DECODER),
    "simmim": lambda masker: partial(SimMIM, ViT(32, PATCH, 16, 1, 2), masker),
    "beit": lambda masker: partial(SimMIM, Beit(32, PATCH, 16, 1, 2), masker),
    "swin": lambda masker: partial(SimMIM, Swin(32, PATCH, 8, [1, 1], [2, 2], 4), masker),
}
MASKERS = {
    "fixed": lambda: Masker(Random(), FixedRatio(0.5)),
    "padded": lambda: Masker(Salience(), AdaptiveRatio(0.5, 0.25)),
}
OTHERS = {
    "cae": lambda masker: partial(
        CAE, Beit(32, PATCH, 16, 1, 2), masker, REGRESSOR, LATENT_DECODER
    ),
}
"""Whose decoders are all called by their terms."""
PAIRS = [
    (model, masker)
    for model in MODELS | OTHERS
    for masker in MASKERS
    if (model, masker) != ("swin", "padded")
]


@pytest.mark.parametrize(("model", "masker"), PAIRS)
@pytest.mark.parametrize("error", OF_VALUES)
@pytest.mark.parametrize("target", TARGETS)
def test_a_term_is_learned(batch_of, target, error, model, masker):
    torch.manual_seed(0)
    term, batch = Term(TARGETS[target](), error), batch_of(torch.randn(2, 3, 32, 32))
    network = (MODELS | OTHERS)[model](MASKERS[masker]())(target_dims={"term": term.target_dim})
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        made = network(batch)
        prediction, split = made.prediction, made.split
        loss = term(prediction, batch.image, split)
        optimizer.zero_grad()
        loss.backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert network.encoder.patch_embed.proj.weight.grad.abs().max() > 0
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_called_a_target_is_one_and_some_can_be_shown_as_pixels(name):
    target = TARGETS[name]()
    assert isinstance(target, Target)
    assert isinstance(target, Paintable) == (name != "hog")


def _last(decoder: nn.Module) -> list[nn.Parameter]:
    """Weight and bias of the layer that predicts."""
    return list(decoder.parameters())[-2:]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("first", "second"), permutations(["pixel", "hog", "frequency"], 2))
def test_any_two_terms_are_learned_with_a_decoder_each(batch_of, first, second, model):
    torch.manual_seed(0)
    terms = {"first": Term(TARGETS[first]()), "second": Term(TARGETS[second](), "l1")}
    loss, batch = (
        WeightedSum(terms, {"first": 1.0, "second": 1.0}),
        batch_of(torch.randn(2, 3, 32, 32)),
    )
    network = MODELS[model](MASKERS["fixed"]())(target_dims=loss.target_dims)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    values = []
    for _ in range(2):
        made = network(batch)
        values.append(loss(made.predictions, batch.image, made.split))
        optimizer.zero_grad()
        values[-1].backward()
        assert all(
            p.grad.abs().max() > 0
            for p in (*_last(network.decoder), *_last(network.decoders["second"]))
        )
        optimizer.step()
    assert values[1] < values[0]


@pytest.mark.parametrize("model", ["mae", "simmim"])
@pytest.mark.parametrize("target", TARGETS)
def test_parts_agree_on_any_target(batch_of, target, model):
    torch.manual_seed(0)
    terms = {
        "other": Term(Pixel(Geometry.of(PATCH, PATCH))),
        target: Term(TARGETS[target]()),
        "agreement": Consistency(of=target, geometry=Geometry.of(PATCH, PATCH)),
    }
    loss, batch = WeightedSum(terms, dict.fromkeys(terms, 1.0)), batch_of(torch.randn(2, 3, 32, 32))
    network = MODELS[model](Masker(Random(), ParallelParts(4)))(target_dims=loss.target_dims)
    made = network(batch)
    agreement = loss.terms(made.predictions, batch.image, made.split)["agreement"]
    assert agreement > 0
    agreement.backward()
    assert all(p.grad is None for p in network.decoder.parameters())
    assert any(
        p.grad.abs().max() > 0 for p in network.decoders[target].parameters() if p.grad is not None
    )
