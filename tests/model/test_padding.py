"""Images that keep different counts, padded to the longest, are treated as each would be alone."""

from functools import partial

import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.score.salience import Salience
from mim.masker.split import Split
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.model.simmim import SimMIM
from mim.target.pixel import Pixel
from tests.e2e.my_encoder import Registers

DECODER = partial(Decoder, width=16, depth=3, heads=2)


def prefixed(prefix):
    """An encoder of somebody's own with so many prefix tokens."""
    encoder = Registers(32, 4, 32, 2, 4)
    encoder.prefix, encoder.first = (
        prefix,
        nn.Parameter(torch.randn(1, prefix, 32) * 0.5, prefix > 0),
    )
    return encoder


MODELS = {
    "mae": lambda masker: MAE(
        ViT(32, 4, 32, 2, 4), masker, partial(Decoder, width=16, depth=3, heads=2), {"pixel": 48}
    ),
    "simmim": lambda masker: SimMIM(ViT(32, 4, 32, 2, 4), masker, {"pixel": 48}),
    "mae without cls": lambda masker: MAE(prefixed(0), masker, DECODER, {"pixel": 48}),
    "mae with registers": lambda masker: MAE(prefixed(3), masker, DECODER, {"pixel": 48}),
    "simmim without cls": lambda masker: SimMIM(prefixed(0), masker, {"pixel": 48}),
    "simmim with registers": lambda masker: SimMIM(prefixed(3), masker, {"pixel": 48}),
    "simmim of relative positions": lambda masker: SimMIM(
        Beit(32, 4, 32, 2, 4), masker, {"pixel": 48}
    ),
}


class Given(nn.Module):
    """A masker that always says the same."""

    needs_tokens = False

    def __init__(self, split):
        super().__init__()
        self.split = split

    def forward(self, batch, grid, tokens=None):
        return self.split


@pytest.fixture
def batch(batch_of):
    generator = torch.Generator().manual_seed(0)
    # contrast decides how many patches are salient
    flat = torch.tensor([0.0, 0.05, 0.2, 1.0, 3.0]).view(5, 1, 1, 1)
    return batch_of(torch.randn(5, 3, 32, 32, generator=generator) * flat)


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    model = MODELS[request.param](Masker(Salience(), AdaptiveRatio(0.6, 0.3, threshold=0.3)))
    for (
        name,
        parameter,
        # biases and layer scales off their first values, so that all count
    ) in model.named_parameters():
        if parameter.dim() == 1 or name.endswith("table"):
            nn.init.normal_(parameter, mean=float("weight" in name), std=0.3)
    return model


def alone(split, i):
    """The sets of one image without padding."""
    pairs = ((split.visible, split.visible_valid), (split.masked, split.masked_valid))
    return Split(*(index[i][valid[i]][None, None] for index, valid in pairs))


def test_predictions_loss_and_gradients_are_those_of_each_image_alone(model, batch):
    made = model(batch)
    prediction, split = made.prediction, made.split
    counts = split.visible_valid.sum(-1).flatten().tolist()
    assert len(set(counts)) >= 3, counts
    loss = Term(Pixel(Geometry.of(4, 4)))
    value = loss(prediction, batch.image, split)
    value.backward()
    together = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    model.zero_grad()
    errors, patches = [], []
    for i in range(5):
        model.masker = Given(alone(split, i))
        one = batch.some(slice(i, i + 1))
        made = model(one)
        own, own_split = made.prediction, made.split
        assert torch.allclose(prediction[i, 0][split.masked_valid[i, 0]], own[0, 0], atol=2e-5)
        errors.append(loss(own, one.image, own_split))
        patches.append(own_split.masked.shape[2])
    each = sum(error * count for error, count in zip(errors, patches, strict=True)) / sum(patches)
    assert value.item() == pytest.approx(each.item(), rel=1e-5)
    each.backward()
    for name, p in model.named_parameters():
        if name in together:
            assert torch.allclose(
                together[name], p.grad, atol=1e-5 + 1e-4 * p.grad.abs().max().item()
            ), name


def test_what_stands_at_padding_changes_nothing(model, batch):
    made = model(batch)
    prediction, split = made.prediction, made.split
    visible = torch.where(split.visible_valid, split.visible, 0)
    masked = torch.where(split.masked_valid, split.masked, 63)
    model.masker = Given(Split(visible, masked, split.visible_valid, split.masked_valid))
    again = model(batch).prediction
    assert torch.allclose(prediction[split.masked_valid], again[split.masked_valid], atol=1e-5)
