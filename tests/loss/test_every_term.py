"""Any target goes with any error, model and encoder: two steps of each."""

from functools import partial

import pytest
import torch

from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.loss.error import ERRORS
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.masker.score.salience import Salience
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.model.simmim import SimMIM
from mim.target.frequency import Frequency
from mim.target.hog import HOG
from mim.target.pixel import Pixel
from mim.target.target import Paintable, Target

PATCH = 8
TARGETS = {
    "pixel": lambda: Pixel(PATCH),
    "raw": lambda: Pixel(PATCH, normalise=False),
    "hog": lambda: HOG(PATCH),
    "frequency": lambda: Frequency(PATCH),
    "low": lambda: Frequency(PATCH, keep=2),
}
DECODER = partial(Decoder, width=16, depth=1, heads=2)
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
PAIRS = [(model, masker) for model in MODELS for masker in MASKERS if (model, masker) != ("swin", "padded")]


@pytest.mark.parametrize(("model", "masker"), PAIRS)
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("target", TARGETS)
def test_a_term_is_learned(batch_of, target, error, model, masker):
    torch.manual_seed(0)
    term, batch = Term(TARGETS[target](), error), batch_of(torch.randn(2, 3, 32, 32))
    network = MODELS[model](MASKERS[masker]())(target_dims={"term": term.target_dim})
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
