"""A model has a decoder for each term that predicts, on one encoding; the first one is what it
would be alone.
"""

from functools import partial

import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.model.reconstruction import Reconstruction
from mim.model.simmim import SimMIM
from mim.target.hog import HOG
from mim.target.pixel import Pixel

SIZES = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 2, "heads": 2}
MODELS = {
    "mae": lambda: partial(MAE, ViT(**SIZES), decoder=partial(Decoder, width=16, depth=1, heads=2)),
    "simmim vit": lambda: partial(SimMIM, ViT(**SIZES)),
    "simmim beit": lambda: partial(SimMIM, Beit(**SIZES)),
    "simmim swin": lambda: partial(SimMIM, Swin(32, 8, 8, [1, 1], [1, 1], 4)),
}
TWO = {"pixel": 192, "hog": 27}


def build(model: str, target_dims: dict[str, int]) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[model]()(masker=Masker(Random(), FixedRatio(0.5)), target_dims=target_dims)


@pytest.mark.parametrize("model", MODELS)
def test_the_first_term_is_predicted_as_it_is_alone_and_encoded_once(model, batch_of):
    batch = batch_of(torch.randn(2, 3, 32, 32))
    alone, both = build(model, {"pixel": 192}), build(model, TWO)
    expected, encoded = alone(batch), []
    both.encoder.norm.register_forward_hook(lambda *_: encoded.append(True))
    made = both(batch)
    assert encoded == [True]
    assert {name: values.shape for name, values in made.predictions.items()} == {
        name: (*made.split.masked.shape, dim) for name, dim in TWO.items()
    }
    assert torch.equal(made.predictions["pixel"], expected.prediction)
    assert torch.equal(made.split.masked, expected.split.masked)


@pytest.mark.parametrize("model", MODELS)
def test_checkpoints_call_the_first_decoder_as_they_always_did(model):
    alone, both = build(model, {"pixel": 192}).state_dict(), build(model, TWO).state_dict()
    others = {name for name in both if name not in alone}
    assert all(torch.equal(both[name], value) for name, value in alone.items())
    assert others == {
        name.replace("decoder.", "decoders.hog.", 1)
        for name in alone
        if name.startswith("decoder.")
    }


@pytest.mark.parametrize("model", MODELS)
def test_a_decoder_learns_from_its_own_term_alone(model, batch_of):
    both = build(model, TWO)
    both(batch_of(torch.randn(2, 3, 32, 32))).predictions["hog"].sum().backward()
    assert all(p.grad is None for p in both.decoder.parameters())
    assert all(p.grad is not None for p in both.decoders.parameters() if p.requires_grad)
    assert both.encoder.patch_embed.proj.weight.grad.abs().max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_step_of_two_terms_compiles_into_one_graph(model, batch_of):
    network, batch = build(model, TWO), batch_of(torch.randn(2, 3, 32, 32))
    loss = WeightedSum(
        {"pixel": Term(Pixel(Geometry.of(8, 8))), "hog": Term(HOG(Geometry.of(8, 8), cells=1))},
        {"pixel": 1.0, "hog": 0.5},
    )

    def objective(batch):
        made = network(batch)
        return loss(made.predictions, batch.image, made.split), made

    expected, _ = objective(batch)
    value, made = torch.compile(objective, fullgraph=True, backend="aot_eager")(batch)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert list(made.predictions) == ["pixel", "hog"]
    value.backward()
    assert all(p.grad is not None for p in network.decoders.parameters() if p.requires_grad)


def test_of_several_predictions_one_has_to_be_named(batch_of):
    made = build("mae", TWO)(batch_of(torch.randn(2, 3, 32, 32)))
    with pytest.raises(
        ValueError, match=r"the model predicts pixel, hog; say which, in \.predictions\[\.\.\.\]"
    ):
        _ = made.prediction
    one = Reconstruction({"hog": made.predictions["hog"]}, made.split)
    assert one.prediction is made.predictions["hog"]
