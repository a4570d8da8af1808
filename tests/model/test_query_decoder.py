"""Mask tokens that see no other: any of them can be left out; padding changes nothing; each block
of the encoder has a say.
"""

from functools import partial

import pytest
import torch

from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.random import Random
from mim.masker.split import Split
from mim.model.mae import MAE
from mim.model.query_decoder import QueryDecoder
from tests.model.given import Given


def built(masker=None, **settings):
    torch.manual_seed(0)
    decoder = partial(QueryDecoder, encoder_depth=2, width=8, depth=3, heads=2, **settings)
    return MAE(
        ViT(16, 4, 8, 2, 2),
        masker or Masker(Random(), FixedRatio(0.5)),
        decoder,
        {"pixel": 48, "other": 5},
    )


def order(count=2):
    return torch.stack([torch.randperm(16) for _ in range(count)])[:, None]


@pytest.mark.parametrize("together", [False, True])
def test_a_patch_is_predicted_alike_whoever_else_is_unless_they_see_each_other(batch_of, together):
    patches, batch = order(), batch_of(torch.randn(2, 3, 16, 16))
    some, every = (
        built(Given(Split(patches[..., 10:], patches[..., :count])), self_attention=together)(
            batch
        ).predictions["pixel"]
        for count in (4, 10)
    )
    assert torch.allclose(some, every[:, :, :4], atol=1e-6) != together


@pytest.mark.parametrize("together", [False, True])
def test_padding_changes_no_prediction(batch_of, together):
    patches, there, hidden = (
        order(),
        torch.ones(2, 1, 9, dtype=torch.bool),
        torch.ones(2, 1, 8, dtype=torch.bool),
    )
    there[..., 7:], hidden[..., 6:] = False, False
    plain = Split(patches[..., 9:], patches[..., :6])
    # padding repeats patches that are masked
    visible = torch.cat([patches[..., 9:], patches[..., :2]], -1)
    padded = Split(visible, torch.cat([patches[..., :6], patches[..., 9:11]], -1), there, hidden)
    batch = batch_of(torch.randn(2, 3, 16, 16))
    a, b = (
        built(Given(split), self_attention=together)(batch).predictions for split in (plain, padded)
    )
    for name in a:
        assert torch.allclose(a[name], b[name][..., :6, :], atol=1e-5), name


def test_every_parameter_that_is_trained_has_a_gradient_and_the_final_norm_is_not_trained(batch_of):
    model = built(Masker(Random(), ParallelParts(parts=2)), self_attention=True)
    made = model(batch_of(torch.randn(2, 3, 16, 16)))
    assert made.predictions["pixel"].shape == (2, 2, 8, 48)
    sum(prediction.square().sum() for prediction in made.predictions.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not any(p.requires_grad for p in model.encoder.norm.parameters())


def test_a_block_that_weighs_nothing_has_no_say(batch_of):
    """Each decoder block has weights of its own for what enters the encoder and for what leaves
    each of its blocks.
    """
    batch, model = batch_of(torch.randn(2, 3, 16, 16)), built()
    assert model.looks_at == [0, 1, 2]
    assert model.decoder.weigh.weight.shape == (3, 3)
    with torch.no_grad():
        model.decoder.weigh.weight[:, 2] = 0
    before = model(batch).predictions["pixel"]
    with torch.no_grad():
        model.encoder.blocks[1].mlp.fc2.weight.mul_(5)
    assert torch.equal(model(batch).predictions["pixel"], before)
    assert built(blocks=[2, 1]).looks_at == [1, 2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": [3]}, "block=3 of the encoder cannot be looked at"),
        ({"heads": 3}, "width=8, heads=3; the heads must divide the width"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        QueryDecoder(
            8, (4, 4), 48, **{"encoder_depth": 2, "width": 8, "depth": 1, "heads": 2, **settings}
        )
