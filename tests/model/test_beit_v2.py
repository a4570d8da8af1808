"""Codes predicted twice: order and padding of patches do not matter, and what later blocks found
reaches the decoder by the cls token alone.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.batch import Batch
from mim.encoder.beit import Beit
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.score.random import Random
from mim.masker.split import Split
from mim.model.beit_v2 import BeitV2
from tests.model.given import Given

DIMS = {"codes": 10, "aggregated": 10}
POSITIONS = ["shared_bias", "block_bias", "absolute"]


def built(masker=None, positions="shared_bias", dims=DIMS, encoder=None, **sizes):
    torch.manual_seed(0)
    encoder = encoder or Beit(16, 4, 8, 3, 2, positions)
    for name, parameter in encoder.named_parameters():  # biases of position begin at zero
        if name.endswith("table"):
            torch.nn.init.normal_(parameter)
    model = BeitV2(encoder, masker or Masker(Random(), FixedRatio(0.5)), dims, **sizes).eval()
    for name, parameter in model.aggregator.named_parameters():
        if name.endswith("table"):
            torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize(
    "partition",
    [ParallelParts(parts=2), ThrowMiddle(0.5, 0.25), FixedRatio(0.25)],
    ids=["parts", "thrown", "one"],
)
def test_every_masked_patch_is_predicted_twice(batch_of, partition):
    made = built(Masker(Random(), partition))(batch_of(torch.randn(3, 3, 16, 16)))
    assert list(made.predictions) == ["codes", "aggregated"]
    assert {p.shape for p in made.predictions.values()} == {(*made.split.masked.shape, 10)}


@settings(max_examples=20)
@given(
    seed=st.integers(0, 99),
    masked=st.integers(1, 9),
    thrown=st.integers(0, 6),
    padding=st.integers(1, 6),
    positions=st.sampled_from(POSITIONS),
)
def test_neither_order_nor_padding_nor_other_images_change_a_prediction(
    seed, masked, thrown, padding, positions
):
    torch.manual_seed(seed)
    image = torch.randn(2, 3, 16, 16)
    order = torch.stack([torch.randperm(16) for _ in range(2)])[:, None]
    plain = Split(order[..., masked : 16 - thrown], order[..., :masked])
    turn = torch.randperm(masked)
    there = torch.cat([torch.ones(2, 1, masked), torch.zeros(2, 1, padding)], -1).bool()
    visible = 16 - thrown - masked
    seen = torch.cat([torch.ones(2, 1, visible), torch.zeros(2, 1, padding)], -1).bool()
    other = Split(  # padding may name any patch
        torch.cat([plain.visible, plain.masked[..., :1].expand(-1, -1, padding)], -1),
        torch.cat([plain.masked[..., turn], plain.visible[..., :1].expand(-1, -1, padding)], -1),
        seen,
        there,
    )
    with torch.no_grad():
        a = built(Given(plain), positions)(Batch.of(image)).predictions
        b = built(Given(other), positions)(Batch.of(image)).predictions
        alone = built(Given(Split(plain.visible[:1], plain.masked[:1])), positions)(
            Batch.of(image[:1])
        ).predictions
    for name, values in a.items():
        assert torch.allclose(values[..., turn, :], b[name][..., :masked, :], atol=1e-5), name
        assert torch.allclose(values[:1], alone[name], atol=1e-5), name


def test_what_later_blocks_find_reaches_the_decoder_by_the_cls_token_alone(batch_of):
    """The gradient of an aggregated prediction at a patch that leaves the last block is zero."""
    order = torch.arange(16).expand(1, 1, 16)
    model = built(Given(Split(order[..., 8:], order[..., :8])), block=2)
    left = {}
    for number in (1, 2):
        model.encoder.blocks[number].register_forward_hook(
            lambda module, inputs, output, number=number: left.update({number: output})
        )
    made = model(batch_of(torch.randn(1, 3, 16, 16))).predictions
    of_early, of_last = torch.autograd.grad(
        made["aggregated"].square().sum(), [left[1], left[2]], retain_graph=True
    )
    assert of_last[1:].abs().max() == 0  # masked patches of one image, the cls token first
    assert of_last[0].abs().max() > 0
    assert of_early[:, 1:].abs().amax(-1).min() > 0
    (of_last,) = torch.autograd.grad(made["codes"].square().sum(), [left[2]])
    assert of_last[1:].abs().max() > 0


@pytest.mark.parametrize(("block", "computed"), [(1, 9), (3, 17)])
def test_last_blocks_compute_what_is_read(batch_of, block, computed):
    """The cls token and 8 masked patches; where the decoder goes on from the last block, all 16."""
    model, rows = built(block=block), []
    for layer in (model.encoder.blocks[-1], model.aggregator[-1]):
        layer.mlp.register_forward_hook(lambda _, inputs, out: rows.append(out.numel() // 8))
    model(batch_of(torch.randn(3, 3, 16, 16)))
    assert rows == [3 * computed, 3 * 9]


def test_a_forward_pass_compiles_into_one_graph(batch_of):
    batch, model = batch_of(torch.randn(2, 3, 16, 16)), built()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    expected, found = model(batch).predictions, compiled(batch).predictions
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in DIMS)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("shared_head", [True, False])
def test_every_parameter_that_is_trained_has_a_gradient(batch_of, positions, shared_head):
    model = built(positions=positions, shared_head=shared_head).train()
    made = model(batch_of(torch.randn(2, 3, 16, 16))).predictions
    sum(prediction.square().sum() for prediction in made.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_the_decoder_begins_at_the_third_block_before_the_last():
    assert [built(encoder=Beit(8, 4, 4, depth, 1)).block for depth in (2, 3, 12, 24)] == [
        1,
        1,
        9,
        21,
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"encoder": ViT(16, 4, 8, 2, 2)},
            "decodes by blocks with the encoder's biases of position, and ViT has none; encoder=",
        ),
        ({"dims": {"codes": 10}}, r"the loss has codes \(10\); loss=beit_v2"),
        ({"dims": {"codes": 10, "hog": 10}}, r"the loss has codes \(10\), hog \(10\); loss="),
        ({"dims": {"codes": 10, "aggregated": 9}}, r"codes \(10\), aggregated \(9\)"),
        ({"block": 4}, "block=4 of the encoder cannot be looked at: it has blocks 1 to 3"),
    ],
    ids=["encoder", "one term", "other terms", "other values", "block"],
)
def test_what_cannot_be_predicted_twice_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        built(**settings)
