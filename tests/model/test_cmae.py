"""CMAE's second decoder sees all patches, padding changes nothing, every parameter learns; what
does not go together is refused.
"""

from functools import partial

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from mim.batch import uncropped
from mim.encoder.vit import ViT
from mim.loss.contrast import Contrast
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.random import Random
from mim.masker.split import Split
from mim.model import projector
from mim.model.cmae import CMAE
from mim.model.decoder import Decoder
from mim.model.mean_decoder import MeanDecoder
from mim.model.projector import BatchNorm, Projector
from mim.target.pixel import Pixel
from mim.teacher.ema import EMA
from tests.model.given import Given

SIZES = {"width": 8, "depth": 2, "heads": 2}


def built(masker=None):
    torch.manual_seed(0)
    return CMAE(
        ViT(16, 4, 8, 2, 2),
        masker or Masker(Random(), FixedRatio(0.5)),
        partial(Decoder, **SIZES),
        partial(MeanDecoder, **SIZES),
        partial(Projector, hidden=12, out=6),
        partial(Projector, hidden=10, out=6),
        {"pixel": 48},
    )


def two_views(batch_of, count=3):
    batch = batch_of(torch.randn(count, 3, 16, 16))
    return batch._replace(views=(batch.views[0], uncropped(torch.randn(count, 3, 16, 16))))


def test_each_part_of_an_image_has_a_vector(batch_of):
    made = built(Masker(Random(), ParallelParts(parts=2)))(batch_of(torch.randn(3, 3, 16, 16)))
    assert made.vectors["contrast"].shape == (3, 2, 6)
    assert made.predictions["pixel"].shape == (3, 2, 8, 48)


def test_what_is_only_looked_at_makes_no_vectors_and_runs_one_decoder(batch_of):
    model = built().eval()
    model.feature_decoder.forward = None
    made = model(batch_of(torch.randn(2, 3, 16, 16)))
    assert not made.vectors
    assert made.prediction.shape == (2, 1, 8, 48)


def test_the_vector_is_the_mean_over_all_patches_and_no_prefix():
    torch.manual_seed(0)
    one = MeanDecoder(8, (2, 2), 5, **SIZES)
    split, latent = Split(torch.tensor([[[2, 0]]]), torch.tensor([[[3, 1]]])), torch.randn(1, 3, 8)
    x, _, _ = one.enter(latent, split)
    for block in one.blocks:
        x = block(x)
    x = one.predict(one.norm(x))
    assert torch.allclose(one(latent, split)[0, 0], x[0, [0, 1, 3, 4]].mean(0), atol=1e-6)


def test_padding_changes_no_vector(batch_of):
    order = torch.stack([torch.randperm(16) for _ in range(2)])[:, None]
    plain = Split(order[..., 9:], order[..., :6])
    there = torch.ones(2, 1, 9, dtype=torch.bool)
    there[..., 7:] = False
    hidden = torch.ones(2, 1, 8, dtype=torch.bool)
    hidden[..., 6:] = False
    # padding repeats patches that are masked
    visible = torch.cat([order[..., 9:], order[..., :2]], -1)
    padded = Split(visible, torch.cat([order[..., :6], order[..., 9:11]], -1), there, hidden)
    batch = batch_of(torch.randn(2, 3, 16, 16))
    a, b = (built(Given(split))(batch).vectors["contrast"] for split in (plain, padded))
    assert torch.allclose(a, b, atol=1e-5)


def test_every_parameter_that_is_trained_has_a_gradient_and_the_teacher_none(batch_of):
    model, batch = built(), two_views(batch_of)
    teacher = EMA(model, 0.9, ["encoder", "projector"])
    loss = WeightedSum(
        {"pixel": Term(Pixel(model.encoder.geometry)), "contrast": Contrast()},
        {"pixel": 1, "contrast": 1},
    )
    made = model(batch)
    terms = loss.terms(made.predictions, batch.image, made.split) | loss.comparisons(
        made.vectors, batch, teacher
    )
    loss.weigh(terms).backward()
    assert list(terms) == ["pixel", "contrast"]
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            "model=cmae teacher=ema",
            "projects the teacher's view through projector, which it does not average; teacher.of=",
        ),
        ("model=cmae model/decoder=cross", "take another than model/decoder=cross"),
        (
            "model=cmae loss=features",
            "in none of its terms, and CMAE makes vectors of them for contrast; model=cmae goes",
        ),
        (
            "loss=cmae teacher=ema_projector",
            "in contrast of its terms, and MAE makes vectors of them for none",
        ),
    ],
)
def test_a_loss_and_a_model_that_do_not_go_together_are_refused(
    composed_command, overrides, message
):
    with pytest.raises(InstantiationException, match=message):
        instantiate(composed_command(f"train.py {overrides}").task)


def test_model_cmae_brings_its_loss_and_its_teacher(composed_command):
    task = instantiate(
        composed_command("train.py model=cmae augment@data.augment=shifted_pair").task
    )
    assert list(task.loss.term) == ["pixel", "contrast"]
    assert (task.teacher.of, task.teacher.momentum) == (("encoder", "projector"), 0.996)


def test_batch_norm_goes_by_the_batch_in_evaluation_mode_too():
    norm, x = BatchNorm(4).eval(), torch.randn(32, 4) * 3 + 5
    expected = torch.nn.functional.batch_norm(x, None, None, training=True, eps=1e-6)
    assert torch.allclose(norm(x), expected, atol=1e-5)
    assert norm(x.bfloat16()).dtype == torch.float32
    assert not list(norm.buffers())


@pytest.mark.parametrize("images", [1, 7])
def test_batch_norm_over_processes_is_that_of_one_if_there_is_one(monkeypatch, images):
    norm = BatchNorm(4).double()
    torch.nn.init.normal_(norm.weight)
    found = []
    for alone in (True, False):
        monkeypatch.setattr(projector, "is_alone", lambda alone=alone: alone)
        x = torch.randn(images, 4, generator=torch.Generator().manual_seed(0)).double() * 3 + 5
        made = norm(x.requires_grad_())
        norm.zero_grad()
        (made * torch.arange(4)).square().sum().backward()
        found.append([made, x.grad, norm.weight.grad, norm.bias.grad])
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other)
