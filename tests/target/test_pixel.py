import pytest
import torch

from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.split import Split
from mim.target.pixel import Pixel
from mim.tokens import patchify, take

IMAGE = torch.arange(2 * 3 * 8 * 8.0).sin().view(2, 3, 8, 8)
SPLIT = Split(visible=torch.tensor([[[0]], [[3]]]), masked=torch.tensor([[[3, 1]], [[0, 2]]]))


@pytest.mark.parametrize(("norm", "expected"), [("l2", (1 + 4) / 2), ("l1", (1 + 2) / 2)])
def test_error_is_averaged_over_pixels_and_masked_patches(norm, expected):
    loss = Term(Pixel(Geometry.of(4, 4), normalise=False), norm)
    assert loss.target_dim == 48
    prediction = take(patchify(IMAGE, 4), SPLIT.masked) + torch.tensor([1.0, -2.0]).view(1, 1, 2, 1)
    assert loss(prediction, IMAGE, SPLIT).item() == pytest.approx(expected, rel=1e-5)


def test_normalised_targets_have_zero_mean_and_unit_unbiased_variance():
    target = Pixel(Geometry.of(4, 4))(IMAGE, SPLIT)
    assert target.shape == (2, 1, 2, 48)
    assert target.mean(-1).abs().max() < 1e-6
    assert (target.var(-1) - 1).abs().max() < 1e-4


def test_a_flat_patch_has_a_target_of_zero():
    first = torch.zeros(1, 1, 1, dtype=torch.int64)
    only = Split(visible=first[..., :0], masked=first)
    flat = torch.full((1, 3, 4, 4), 0.7)
    assert Pixel(Geometry.of(4, 4))(flat, only).abs().max() < 1e-3


def test_predicting_the_target_costs_nothing_and_visible_patches_do_not_count():
    loss = Term(Pixel(Geometry.of(4, 4)))
    prediction = loss.target(IMAGE, SPLIT)
    assert loss(prediction, IMAGE, SPLIT).item() == 0
    altered = IMAGE.clone()
    altered[0, :, :4, :4] = 9  # patch 0 of the first image, which is visible
    assert loss(prediction, altered, SPLIT).item() == 0


def test_padding_counts_for_nothing():
    loss = Term(Pixel(Geometry.of(4, 4)))
    prediction = torch.ones(2, 1, 2, 48)
    padded = SPLIT._replace(masked_valid=torch.tensor([[[True, True]], [[True, False]]]))
    alone = torch.stack(
        [
            (prediction[b, 0, m] - loss.target(IMAGE, SPLIT)[b, 0, m])
            for b, m in [(0, 0), (0, 1), (1, 0)]
        ]
    )
    assert loss(prediction, IMAGE, padded).item() == pytest.approx(
        alone.square().mean().item(), rel=1e-6
    )
    prediction[1, 0, 1] = 1e6
    assert loss(prediction, IMAGE, padded).item() == pytest.approx(
        alone.square().mean().item(), rel=1e-6
    )


def test_the_gradient_is_that_of_the_mean():
    for norm, slope in (("l2", 2 * 3.0), ("l1", 1.0)):
        loss = Term(Pixel(Geometry.of(4, 4), normalise=False), norm)
        prediction = (take(patchify(IMAGE, 4), SPLIT.masked) + 3).requires_grad_()
        loss(prediction, IMAGE, SPLIT).backward()
        assert torch.allclose(
            prediction.grad, torch.full_like(prediction, slope / prediction.numel()), rtol=1e-5
        )


def test_half_precision_predictions_are_compared_in_float32():
    loss = Term(Pixel(Geometry.of(4, 4)))
    prediction = torch.ones(2, 1, 2, 48, dtype=torch.bfloat16)
    value = loss(prediction, IMAGE.bfloat16(), SPLIT)
    assert value.dtype == torch.float32
    assert value.item() == loss(prediction.float(), IMAGE.bfloat16().float(), SPLIT).item()


def test_double_precision_stays_double():
    prediction = torch.ones(2, 1, 2, 48, dtype=torch.float64)
    value = Term(Pixel(Geometry.of(4, 4)))(prediction, IMAGE.double(), SPLIT)
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(
        Term(Pixel(Geometry.of(4, 4)))(prediction.float(), IMAGE, SPLIT).item(), rel=1e-6
    )


def test_a_patch_size_that_does_not_divide_the_image_is_refused():
    with pytest.raises(ValueError, match="not divisible by patch_size=3"):
        Pixel(Geometry.of(3, 3))(IMAGE, SPLIT)
