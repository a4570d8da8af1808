"""Views of an image, one vector each: what passes a batch norm together, what is left out, and what
is refused.
"""

from functools import partial

import pytest
import torch

from mim.encoder.vit import ViT
from mim.loss.across_views import AcrossViews
from mim.loss.view_contrast import ViewContrast
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.random import Random
from mim.model.siamese import ContrastHead, Siamese
from mim.teacher.siamese import SiameseEMA
from mim.views import Seen, Shown
from tests.parity.distilled import views_of

HEAD = partial(ContrastHead, hidden=10)
PREDICTOR = partial(HEAD, layers=2)


def built(masker=None, predictor=PREDICTOR, **settings):
    torch.manual_seed(0)
    encoder = ViT(16, 4, 8, 2, 2, start="moco_v3", positions="sincos_rows_first")
    return Siamese(encoder, masker, HEAD, predictor, {"contrast": 6}, **settings)


def pair(count=5, small=0):
    torch.manual_seed(1)
    return views_of(
        torch.randn(2, count, 3, 16, 16), *([torch.randn(small, count, 3, 8, 8)] if small else [])
    )


def test_each_view_passes_the_norms_by_itself():
    model, batch = built(), pair()
    made = model(batch).cls
    assert made.shape == (2, 5, 6)
    other = model(batch._replace(views=(batch.views[0], pair(5, 1).views[0]))).cls
    assert torch.allclose(made[0], other[0], atol=1e-5)  # whatever the other view is
    assert torch.allclose(made.mean(1), torch.zeros(2, 6), atol=1e-5)


def test_views_of_one_size_may_pass_them_together():
    model = built(normed_over="size")
    made = model(pair(5, 3)).cls
    assert made.shape == (5, 5, 6)
    for run in (made[:2], made[2:]):
        assert torch.allclose(run.flatten(0, 1).mean(0), torch.zeros(6), atol=1e-5)
    assert made[0].mean(0).abs().max() > 1e-3


def test_masked_patches_of_large_views_change_nothing_and_the_teacher_may_have_its_own_view():
    masker = Masker(Random(), FixedRatio(0.5))
    model, batch = built(masker, None, views=1, own=False), pair(5, 2)
    made = model(batch).cls
    assert made.shape == (3, 5, 6)  # all views but the first
    split = masker(batch.of_view(1), (4, 4))
    image = batch.views[1].image.clone()
    patches = image.unfold(2, 4, 4).unfold(3, 4, 4)  # a view (5, 3, 4, 4, 4, 4)
    for row in range(5):
        for patch in split.masked[row, 0].tolist():
            patches[row, :, patch // 4, patch % 4] = 9.0
    views = (batch.views[0], batch.views[1]._replace(image=image), *batch.views[2:])
    assert torch.allclose(model(batch._replace(views=views)).cls, made, atol=1e-5)


def test_all_that_is_trained_has_a_gradient_and_the_projection_of_patches_stays():
    model, batch = built(), pair()
    teacher = SiameseEMA(model, 0.9)
    loss = AcrossViews({"contrast": ViewContrast(6)}, {"contrast": 1.0})
    terms, _ = loss.of_step(model, batch, teacher)
    loss.weigh(terms).backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert {n for n, p in model.named_parameters() if not p.requires_grad} == {
        *("encoder.pos_embed", "encoder.patch_embed.proj.weight", "encoder.patch_embed.proj.bias"),
        *(f"{last}.{name}" for last in ("head.7", "predictor.4") for name in ("weight", "bias")),
    }
    assert all(p.grad is None for p in teacher.parameters())
    assert built(frozen_projection=False).encoder.patch_embed.proj.weight.requires_grad


def test_views_that_cannot_be_told_apart_cost_as_much_as_guessing_and_their_order_does_not_matter():
    term, same = ViewContrast(3, 0.2), torch.ones(2, 5, 3)
    assert term(Shown(same), Seen(same)).item() == pytest.approx(
        2 * 0.4 * torch.tensor(5.0).log().item()
    )
    made, seen = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    turned = term(
        Shown(made.flip(0)[:, [3, 0, 4, 1, 2]] * 3), Seen(seen.flip(0)[:, [3, 0, 4, 1, 2]])
    )
    assert turned.item() == pytest.approx(term(Shown(made), Seen(seen)).item(), rel=1e-5)


def test_queries_keys_and_values_start_as_products_of_their_own():
    torch.manual_seed(0)
    encoder = ViT(16, 4, 64, 2, 2, start="moco_v3")
    weight = encoder.blocks[0].attn.qkv.weight
    assert weight.abs().max().item() == pytest.approx((6 / 128) ** 0.5, rel=0.01)
    assert encoder.cls_token.abs().max() < 1e-5
    first, swapped = (
        ViT(16, 4, 8, 1, 2, positions=name).pos_embed[0, 1:]
        for name in ("sincos", "sincos_rows_first")
    )
    assert torch.equal(swapped, torch.cat([first[:, 4:], first[:, :4]], 1))


def test_what_makes_no_sense_is_refused():
    for settings, words in (
        ({"target_dims": {"cls": 3, "patch": 3}}, "makes one vector of a view; take loss=moco_v3"),
        ({"encoder": ViT(16, 4, 8, 1, 2, cls=False)}, "has no cls token"),
    ):
        given = {"encoder": ViT(16, 4, 8, 1, 2), "target_dims": {"contrast": 6}} | settings
        with pytest.raises(ValueError, match=words):
            Siamese(masker=None, head=HEAD, predictor=None, **given)
    other = ViT(16, 4, 8, 1, 2)
    other.patch_embed = None
    with pytest.raises(
        ValueError, match=r"no projection of patches .* give model\.frozen_projection=false"
    ):
        Siamese(other, None, HEAD, None, {"contrast": 6})
    with pytest.raises(
        ValueError, match=r"the batch has 1; take augment@data\.augment=multi_crop_moco_v3"
    ):
        built()(torch.zeros(2, 3, 16, 16))
    with pytest.raises(ValueError, match="makes 2 parts of it"):
        built(Masker(Random(), ParallelParts(2)))(pair())
    with pytest.raises(ValueError, match="temperature=0 does not fit; it should be more than 0"):
        ViewContrast(temperature=0)
