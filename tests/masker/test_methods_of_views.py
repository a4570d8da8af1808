"""SBAM's, AMT's and AttMask's masks with I-JEPA, MoCo v3, MSN, DINO and iBOT: they train, or are
refused in words.
"""

from functools import partial

import pytest
import torch

from mim.encoder.vit import ViT
from mim.head.projection import ProjectionHead
from mim.loss.across_views import AcrossViews
from mim.loss.distillation import ClsDistillation, PatchDistillation
from mim.loss.prototypes import PrototypeMatch
from mim.loss.term import Term
from mim.loss.view_contrast import ViewContrast
from mim.masker.attention_store import AttentionStore
from mim.masker.independent import Independent
from mim.masker.masker import Masker
from mim.masker.multi_block import MultiBlock
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.score.attention import Attention
from mim.masker.score.attmask import AttMask
from mim.masker.score.random import Random
from mim.masker.score.salience import Salience
from mim.model.decoder import Decoder
from mim.model.ibot import IBOT
from mim.model.mae import MAE
from mim.model.siamese import ContrastHead, PrototypeHead, Siamese
from mim.target.features import Features
from mim.teacher.ema import EMA
from mim.teacher.siamese import SiameseEMA
from mim.teacher.views import ViewsEMA
from mim.train.pretrain import Pretrain
from tests.parity.distilled import views_of


def filled():
    store = AttentionStore()
    store.maps = torch.rand(4, 4, 4, generator=torch.Generator().manual_seed(0)).half()
    return store


MASKERS = {
    "sbm": lambda: Masker(Salience(), FixedRatio(0.5)),
    "sbam": lambda: Masker(Salience(), AdaptiveRatio(0.5, 0.2)),
    "am": lambda: Masker(Attention(filled()), FixedRatio(0.5)),
    "amt": lambda: Masker(Attention(filled()), ThrowMiddle(0.4, 0.3)),
    "attmask": lambda: Masker(AttMask(filled()), RandomRatio(unmasked=0.3)),
}
OF_PARTS = {
    "emae": lambda: Masker(Random(), ParallelParts(4)),
    "independent": lambda: Independent(Masker(Random(), FixedRatio(0.5)), 2),
    "multi_block": lambda: MultiBlock(),
}
SIZES = {"image_size": 16, "patch_size": 4, "width": 8, "depth": 2, "heads": 2}
LEARNED = {"positions": "learned", "start": "dino"}
MSN = {"views": 1, "own": False, "normed_over": "size", "frozen_projection": False}


def of_views(student, terms, teacher):
    return student, AcrossViews(terms, dict.fromkeys(terms, 1.0)), teacher


def projected(masker, terms):
    head = partial(ProjectionHead, layers=2, hidden=12, bottleneck=8)
    return of_views(partial(IBOT, ViT(**SIZES, **LEARNED), masker, head), terms, ViewsEMA)


def siamese(masker, head, terms, **settings):
    student = partial(Siamese, ViT(**SIZES, **LEARNED), masker, head, **settings)
    return of_views(student, terms, SiameseEMA)


def ijepa(masker):
    decoder = partial(Decoder, width=8, depth=1, heads=2)
    student = partial(MAE, ViT(**SIZES, cls=False), masker, decoder)
    return student, Term(Features(1), error="smooth_l1"), EMA


CONTRAST = partial(ContrastHead, hidden=10)
METHODS = {
    "ijepa": ijepa,
    "moco_v3": lambda masker: siamese(
        masker, CONTRAST, {"contrast": ViewContrast(6)}, predictor=partial(CONTRAST, layers=2)
    ),
    "msn": lambda masker: siamese(
        masker,
        partial(PrototypeHead, hidden=10),
        {"match": PrototypeMatch(6, 8)},
        predictor=None,
        **MSN,
    ),
    "dino": lambda masker: projected(masker, {"cls": ClsDistillation(9)}),
    "ibot": lambda masker: projected(
        masker, {"cls": ClsDistillation(9), "patch": PatchDistillation(9)}
    ),
}


def step(method, masker):
    """Loss of a step of a method with a masker, and the training."""
    torch.manual_seed(0)
    model, loss, teacher = METHODS[method](masker)
    task = Pretrain(
        model, loss, torch.optim.SGD, lambda *_: 1.0, 1e-3, 0.0, teacher=teacher
    ).train()
    task.teacher.begin(task.model)
    views = (torch.randn(2, 4, 3, 16, 16), torch.randn(1, 4, 3, 8, 8))
    batch = views_of(*views) if method != "ijepa" else views_of(views[0][:1])
    return task.objective(batch)[0], task


@pytest.mark.parametrize("masker", MASKERS)
@pytest.mark.parametrize("method", METHODS)
def test_maskers_of_whole_images_are_masks_of_each_method(method, masker):
    masks = []
    given = MASKERS[masker]()
    given.register_forward_hook(lambda module, asked, split: masks.append(split))
    loss, task = step(method, given)
    loss.backward()
    assert loss.isfinite()
    assert masks
    assert all(split.masked.shape[1] == 1 for split in masks)
    trained = {name: p for name, p in task.model.named_parameters() if p.requires_grad}
    assert not [name for name, p in trained.items() if p.grad is None and name != "mask_token"]
    assert all(p.grad.isfinite().all() for p in trained.values() if p.grad is not None)


@pytest.mark.parametrize("masker", OF_PARTS)
@pytest.mark.parametrize("method", METHODS)
def test_several_parts_of_an_image_are_for_methods_that_predict_patches_of_one_view(method, masker):
    if method == "ijepa":
        assert step(method, OF_PARTS[masker]())[0].isfinite()
        return
    with pytest.raises(ValueError, match=r"this masker makes \d parts of it; take masker="):
        step(method, OF_PARTS[masker]())


def test_ibot_and_dino_go_by_the_teacher_s_attention_to_the_view_others_by_what_was_stored():
    for method in ("ibot", "dino", "moco_v3", "msn"):
        masker = MASKERS["amt"]()
        step(method, masker)
        assert masker.score.store.live == (method in ("ibot", "dino"))
