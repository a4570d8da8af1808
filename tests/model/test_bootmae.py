"""Two decoders that look at two blocks of one encoder; padding changes nothing, and every parameter
learns.
"""

from functools import partial

import pytest
import torch

from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.random import Random
from mim.masker.split import Split
from mim.model.bootmae import BootMAE
from mim.model.cross_decoder import CrossDecoder
from tests.model.given import Given

DIMS = {"pixel": 48, "feature": None}


def built(masker=None, encoder=None, block=None, names=("pixel", "feature")):
    torch.manual_seed(0)
    decoder = {name: partial(CrossDecoder, width=12, depth=2, heads=5) for name in names}
    encoder = encoder or ViT(16, 4, 8, 3, 2)
    return BootMAE(
        encoder,
        masker or Masker(Random(), FixedRatio(0.5)),
        decoder,
        block or dict.fromkeys(names),
        DIMS,
    )


def test_each_term_is_predicted_with_as_many_values_as_it_wants(batch_of):
    made = built(Masker(Random(), ParallelParts(parts=2)), block={"pixel": 1, "feature": None})(
        batch_of(torch.randn(3, 3, 16, 16))
    )
    shapes = {name: tuple(prediction.shape) for name, prediction in made.predictions.items()}
    B, K, Lm = made.split.masked.shape
    assert shapes == {"pixel": (B, K, Lm, 48), "feature": (B, K, Lm, 8)}


def test_a_decoder_looks_at_its_own_block(batch_of):
    batch = batch_of(torch.randn(2, 3, 16, 16))
    early, late = built(block={"pixel": 1, "feature": 3}), built(block={"pixel": 3, "feature": 3})
    late.load_state_dict(early.state_dict())
    a, b = early(batch).predictions, late(batch).predictions
    assert not torch.allclose(a["pixel"], b["pixel"], atol=1e-4)
    assert torch.equal(a["feature"], b["feature"])


def test_the_width_of_a_head_is_rounded_down():
    """12 heads of 512 channels have 42 each."""
    block = CrossDecoder(8, (2, 2), 5, width=12, depth=1, heads=5).blocks[0]
    assert {layer.query.out_features for layer in (block.attn, block.cross)} == {10}


def test_padding_changes_no_prediction(batch_of):
    order = torch.stack([torch.randperm(16) for _ in range(2)])[:, None]
    plain = Split(order[..., 9:], order[..., :6])
    there = torch.ones(2, 1, 9, dtype=torch.bool)
    there[..., 7:] = False
    # padding repeats patches that are masked
    visible = torch.cat([order[..., 9:], order[..., :2]], -1)
    hidden = torch.ones(2, 1, 8, dtype=torch.bool)
    hidden[..., 6:] = False
    padded = Split(visible, torch.cat([order[..., :6], order[..., 9:11]], -1), there, hidden)
    batch = batch_of(torch.randn(2, 3, 16, 16))
    a, b = (built(Given(split)).eval()(batch).predictions for split in (plain, padded))
    for name in a:
        assert torch.allclose(a[name], b[name][..., :6, :], atol=1e-5), name


def test_the_order_of_patches_does_not_matter(batch_of):
    order, turn = torch.stack([torch.randperm(16) for _ in range(2)])[:, None], torch.randperm(8)
    first = Split(order[..., 8:], order[..., :8])
    second = Split(order[..., 8:][..., turn], order[..., :8])
    batch = batch_of(torch.randn(2, 3, 16, 16))
    a, b = (built(Given(split)).eval()(batch).predictions for split in (first, second))
    assert all(torch.allclose(a[name], b[name], atol=1e-5) for name in a)


def test_every_parameter_that_is_trained_has_a_gradient(batch_of):
    model = built(block={"pixel": 1, "feature": None})
    made = model(batch_of(torch.randn(2, 3, 16, 16)))
    sum(prediction.square().sum() for prediction in made.predictions.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_the_cls_token_is_not_decayed_and_mask_tokens_are():
    model = built()
    names = dict(model.named_parameters())
    assert model.no_weight_decay() == {"encoder.cls_token"}
    assert {"encoder.cls_token", "decoders.pixel.mask_token"} <= names.keys()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"names": ("pixel",)},
            "the loss predicts pixel, feature, and model=bootmae has decoders for pixel",
        ),
        ({"block": {"pixel": 4, "feature": None}}, "block=4 of ViT cannot be looked at"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        built(**settings)


def test_a_decoder_needs_a_channel_for_each_head():
    with pytest.raises(ValueError, match="a channel a head"):
        CrossDecoder(8, (4, 4), 48, width=2, heads=3)


def test_an_encoder_whose_blocks_have_other_tokens_is_refused(batch_of):
    model = built(encoder=Swin(16, 8, 4, [1, 1], [1, 1], 2), block={"pixel": 1, "feature": None})
    with pytest.raises(ValueError, match=r"Swin's windows need every patch|cannot be looked at"):
        model(batch_of(torch.randn(2, 3, 16, 16)))
