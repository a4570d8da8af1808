"""K parts in one pass are K passes, and every masker with parts goes with every model and loss."""

from functools import partial

import pytest
import torch
from torch import nn

from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.consistency import Consistency
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.independent import Independent
from mim.masker.masker import Masker
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.partition.thrown_parts import ThrownParts
from mim.masker.score.random import Random
from mim.masker.score.salience import Salience
from mim.masker.split import Split
from mim.model.cae import CAE
from mim.model.decoder import Decoder
from mim.model.latent_decoder import LatentDecoder
from mim.model.mae import MAE
from mim.model.regressor import Regressor
from mim.model.simmim import SimMIM
from mim.target.pixel import Pixel
from tests.slow import slow

PATCH = 4
MODELS = {
    "mae": partial(MAE, decoder=partial(Decoder, width=8, depth=2, heads=2)),
    "simmim": SimMIM,
    "cae": partial(
        CAE,
        regressor=partial(Regressor, depth=1, heads=2),
        decoder=partial(LatentDecoder, depth=1, heads=2),
    ),
}
MASKERS = {
    "random": Masker(Random(), ParallelParts(4)),
    "salience": Masker(Salience(), ParallelParts(8)),
    "cells": Masker(Random(), ParallelParts(2), cell=2),
    "thrown": Masker(Random(), ThrownParts(3, 0.4)),
    "independent": Independent(Masker(Random(), FixedRatio(0.75)), parts=3),
    "independent salience": Independent(Masker(Salience(), FixedRatio(0.6)), parts=2),
    "independent throwing": Independent(Masker(Random(), ThrowMiddle(0.45, 0.4)), parts=3),
    "independent adaptive": Independent(Masker(Salience(), AdaptiveRatio()), parts=2),
}


class One(nn.Module):
    """One part of what another masker cuts."""

    def __init__(self, masker: nn.Module, part: int):
        super().__init__()
        self.masker, self.part = masker, part
        self.needs_tokens = masker.needs_tokens

    def forward(self, *inputs) -> Split:
        return self.masker(*inputs).part(self.part)


def build(model: str, masker: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    encoder = ViT(image_size=(16, 24), patch_size=PATCH, width=16, depth=2, heads=2)
    return MODELS[model](encoder=encoder, masker=masker, target_dims={"pixel": 48})


@pytest.fixture
def batch(batch_of):
    return batch_of(torch.randn(3, 3, 16, 24, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["random", "salience", "thrown", "independent"])
def test_parts_equal_separate_passes_in_loss_and_gradient(batch, model, name):
    masker, loss = MASKERS[name], Term(Pixel(Geometry.of(PATCH, PATCH)))
    batch = batch.with_image(batch.image.double())

    def passed(masker: nn.Module) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
        network = build(model, masker).double()
        made = network(batch)
        prediction, split = made.prediction, made.split
        value = loss(prediction, batch.image, split)
        value.backward()
        return (
            value,
            {n: p.grad for n, p in network.named_parameters() if p.grad is not None},
            split.masked.shape[1],
        )

    together, gradient, parts = passed(masker)
    alone = [passed(One(masker, part))[:2] for part in range(parts)]
    assert together.item() == pytest.approx(
        sum(value.item() for value, _ in alone) / parts, rel=1e-13
    )
    assert gradient
    for parameter, value in gradient.items():
        expected = torch.stack([gradients[parameter] for _, gradients in alone]).mean(0)
        assert torch.allclose(value, expected, rtol=1e-9, atol=1e-14), parameter


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", MASKERS)
def test_every_masker_with_parts_trains_every_model_with_consistency(batch, model, name):
    network = build(model, MASKERS[name])
    loss = WeightedSum(
        {
            "pixel": Term(Pixel(Geometry.of(PATCH, PATCH))),
            "consistency": Consistency(geometry=Geometry.of(PATCH, PATCH)),
        },
        {"pixel": 1.0, "consistency": 1.0},
    )
    made = network(batch)
    assert made.prediction.shape == (*made.split.masked.shape, 48)
    terms = loss.terms(made.predictions, batch.image, made.split)
    assert terms["pixel"] > 0
    assert (terms["consistency"] > 0) == (name != "cells")  # two halves share no masked patch
    loss.weigh(terms).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("model", MODELS)
def test_parallel_parts_embed_each_patch_once(batch, model, monkeypatch):
    network, embedded = build(model, MASKERS["random"]), []
    embed = network.encoder.embed

    def watched(image, index=None):
        embedded.append(index)
        return embed(image, index)

    monkeypatch.setattr(network.encoder, "embed", watched)
    network(batch)
    (index,) = embedded
    assert torch.equal(index.flatten(1).sort().values, torch.arange(24).expand(3, -1))


@pytest.mark.parametrize(("name", "norm"), [slow("random", "l1"), ("independent adaptive", "l2")])
def test_a_step_compiles_into_one_graph_and_gives_the_same_loss(batch, name, norm):
    network = build("mae", MASKERS[name])
    loss = WeightedSum(
        {
            "pixel": Term(Pixel(Geometry.of(PATCH, PATCH))),
            "consistency": Consistency(norm, geometry=Geometry.of(PATCH, PATCH)),
        },
        {"pixel": 1.0, "consistency": 1.0},
    )

    def objective(batch):
        made = network(batch)
        terms = loss.terms(made.predictions, batch.image, made.split)
        return loss.weigh(terms), terms

    expected, _ = objective(batch)
    total, terms = torch.compile(objective, fullgraph=True, backend="aot_eager")(batch)
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert total.item() == pytest.approx(sum(term.item() for term in terms.values()), rel=1e-6)
    total.backward()
    assert network.encoder.patch_embed.proj.weight.grad.abs().max() > 0
