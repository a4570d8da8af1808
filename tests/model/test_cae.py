"""Regressed latents, whatever order and padding of patches; decoded without the visible ones."""

from functools import partial

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
from mim.model.cae import CAE
from mim.model.latent_decoder import LatentDecoder
from mim.model.regressor import Regressor
from tests.model.given import Given

DIMS = {"codes": 10, "align": None}
SIZES = {"depth": 2, "heads": 2}


def built(masker=None, encoder=None, dims=DIMS):
    torch.manual_seed(0)
    encoder = encoder or Beit(16, 4, 8, 2, 2, "sincos_rows_first", start="cae")
    masker = masker or Masker(Random(), FixedRatio(0.5))
    return CAE(
        encoder, masker, partial(Regressor, **SIZES), partial(LatentDecoder, **SIZES), dims
    ).eval()


def split(order, visible, masked):
    return Split(order[..., 16 - visible :], order[..., :masked])


@pytest.mark.parametrize(
    "partition",
    [ParallelParts(parts=2), ThrowMiddle(0.5, 0.25), FixedRatio(0.25)],
    ids=["parts", "thrown", "one"],
)
def test_latents_are_as_wide_as_the_encoder_and_scores_as_many_as_codes(batch_of, partition):
    made = built(Masker(Random(), partition))(batch_of(torch.randn(3, 3, 16, 16)))
    places = made.split.masked.shape
    assert {name: p.shape for name, p in made.predictions.items()} == {
        "codes": (*places, 10),
        "align": (*places, 8),
    }


@settings(max_examples=20)
@given(seed=st.integers(0, 99), masked=st.integers(1, 15), padding=st.integers(1, 6))
def test_neither_order_nor_padding_nor_other_images_change_a_prediction(seed, masked, padding):
    torch.manual_seed(seed)
    image, order = (
        torch.randn(2, 3, 16, 16),
        torch.stack([torch.randperm(16) for _ in range(2)])[:, None],
    )
    plain = split(order, 16 - masked, masked)
    turn = torch.randperm(masked)
    there = torch.cat([torch.ones(2, 1, masked), torch.zeros(2, 1, padding)], -1).bool()
    seen = torch.cat([torch.ones(2, 1, 16 - masked), torch.zeros(2, 1, padding)], -1).bool()
    other = Split(
        torch.cat(
            [plain.visible, plain.masked[..., :1].expand(-1, -1, padding)], -1
        ),  # padding may name any patch
        torch.cat([plain.masked[..., turn], plain.visible[..., :1].expand(-1, -1, padding)], -1),
        seen,
        there,
    )
    with torch.no_grad():
        a = built(Given(plain))(Batch.of(image)).predictions
        b = built(Given(other))(Batch.of(image)).predictions
        alone = built(Given(Split(plain.visible[:1], plain.masked[:1])))(
            Batch.of(image[:1])
        ).predictions
    for name, values in a.items():
        assert torch.allclose(values[..., turn, :], b[name][..., :masked, :], atol=1e-5), name
        assert torch.allclose(values[:1], alone[name], atol=1e-5), name


def test_an_image_of_which_nothing_is_masked_leaves_the_others_as_they_are(batch_of):
    """Half of the images of AttMask's release stay whole."""
    order, image = torch.arange(16).expand(2, 1, 16), torch.randn(2, 3, 16, 16)
    there = torch.tensor([[[True] * 4], [[False] * 4]])
    seen = torch.tensor([[[True] * 12 + [False] * 4], [[True] * 16]])
    visible = torch.cat([order[..., 4:], order[..., :4]], -1)
    some = built(Given(Split(visible, order[..., :4], seen, there)))
    made = some(batch_of(image)).predictions
    alone = built(Given(split(order[:1], 12, 4)))(batch_of(image[:1])).predictions
    for name, values in made.items():
        assert values.isfinite().all()
        assert torch.allclose(values[0], alone[name][0], atol=1e-5)
    sum(values[0].square().sum() for values in made.values()).backward()
    assert all(p.grad.isfinite().all() for p in some.parameters())


def test_in_half_precision_an_image_of_which_nothing_is_masked_is_decoded_to_numbers():
    """There a softmax over nothing but padding is none: float32's kernel gives zeros."""
    decoder = LatentDecoder(8, 3, depth=1, heads=2).bfloat16()
    latent, position = torch.randn(2, 2, 4, 8).bfloat16()
    there = torch.tensor([[True] * 4, [False] * 4])
    made = decoder(latent, position, there)
    assert made.isfinite().all()
    assert torch.allclose(made[:1], decoder(latent[:1], position[:1], None), atol=1e-2)
    made[0].square().sum().backward()
    assert all(p.grad.isfinite().all() for p in decoder.parameters())


def test_the_decoder_sees_visible_patches_through_latents_alone(batch_of):
    """Where latents do not depend on the image, neither does what is decoded."""
    model = built(Given(split(torch.arange(16).expand(1, 1, 16), 8, 8)))
    for block in model.regressor.blocks:
        torch.nn.init.zeros_(block.gamma_1)
    a, b = (model(batch_of(torch.randn(1, 3, 16, 16))).predictions["codes"] for _ in range(2))
    assert torch.equal(a, b)


def test_a_prediction_depends_on_where_its_patch_is(batch_of):
    made = built(Given(split(torch.arange(16).expand(1, 1, 16), 8, 8)))(
        batch_of(torch.randn(1, 3, 16, 16))
    )
    for values in made.predictions.values():
        assert (values[0, 0, :-1] - values[0, 0, 1:]).abs().amax(-1).min() > 1e-6


@pytest.mark.parametrize("dims", [DIMS, {"pixel": 48}, {"pixel": 48, "codes": 10, "align": None}])
@pytest.mark.parametrize("encoder", [None, ViT(16, 4, 8, 2, 2), ViT(16, 4, 8, 2, 2, cls=False)])
def test_every_parameter_that_is_trained_has_a_gradient(batch_of, dims, encoder):
    model = built(encoder=encoder, dims=dims).train()
    made = model(batch_of(torch.randn(2, 3, 16, 16))).predictions
    assert list(made) == list(dims)
    sum(prediction.square().sum() for prediction in made.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not model.no_weight_decay()


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        (
            {"codes": 10, "align": 48},
            r"align compares latents 8 wide, and its target has 48 values a patch; give",
        ),
        (
            {"align": None},
            "the term align alone, which latents that are the same for all images satisfy",
        ),
    ],
)
def test_a_loss_that_latents_cannot_be_held_to_is_refused(dims, message):
    with pytest.raises(ValueError, match=message):
        built(dims=dims)


@pytest.mark.parametrize(("part", "more"), [(Regressor, {}), (LatentDecoder, {"target_dim": 1})])
def test_heads_that_do_not_divide_the_width_are_refused(part, more):
    with pytest.raises(ValueError, match=r"got width=8, heads=3; the heads must divide the width"):
        part(width=8, heads=3, **more)


def test_stochastic_depth_rises_over_the_blocks_of_both():
    for part in (
        Regressor(8, depth=3, heads=2, drop_path=0.4),
        LatentDecoder(8, 1, depth=3, heads=2, drop_path=0.4),
    ):
        rates = [
            {m.drop_prob for m in block.modules() if hasattr(m, "drop_prob")}
            for block in part.blocks
        ]
        assert [max(rate, default=0.0) for rate in rates] == pytest.approx([0.0, 0.2, 0.4])
