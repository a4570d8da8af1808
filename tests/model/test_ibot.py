"""A student of several views: what passes the encoder and the head, by which masks, and what is
refused.
"""

from functools import partial

import pytest
import torch
from torch import nn

from mim.analysis.cost import flops
from mim.batch import Batch, View, uncropped
from mim.callback.refresh_attention import RefreshAttention
from mim.callback.throughput import flops_per_image
from mim.draw import keys
from mim.encoder.beit import Beit
from mim.encoder.encoder import cls_tokens
from mim.encoder.vit import ViT
from mim.head.projection import ProjectionHead
from mim.loss.across_views import AcrossViews
from mim.loss.distillation import ClsDistillation, PatchDistillation
from mim.loss.term import Term
from mim.masker.attention_store import AttentionStore
from mim.masker.masker import Masker
from mim.masker.partition.covered import Covered
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.score.attention import Attention
from mim.masker.score.attmask import AttMask
from mim.masker.score.drawn_block import DrawnBlock
from mim.masker.score.mst import MST
from mim.masker.score.random import Random
from mim.masker.score.salience import Salience
from mim.model.ibot import IBOT
from mim.model.mae import MAE
from mim.optim.number import Cosine
from mim.optim.schedule import Constant
from mim.part import Progress
from mim.target.features import Features
from mim.teacher.ema import EMA
from mim.teacher.views import ViewsEMA
from mim.tokens import take
from mim.train.pretrain import Pretrain

L = 16
HEAD = partial(ProjectionHead, layers=2, hidden=12, bottleneck=8)
DIMS = {"cls": 20, "patch": 20}


def encoder(**settings):
    return ViT(16, 4, 8, 2, 2, positions="learned", start="dino", **settings)


def views(count=3, small=2):
    torch.manual_seed(1)
    place = torch.arange(count)
    large: list[View] = [uncropped(torch.randn(count, 3, 16, 16)) for _ in range(2)]
    local = [uncropped(torch.randn(count, 3, 8, 8)) for _ in range(small)]
    return Batch((*large, *local), torch.full_like(place, -1), place, keys(0, 0, place))


def student(masker=None, dims=DIMS, **settings):
    torch.manual_seed(0)
    model = IBOT(encoder(), masker, HEAD, dims, **settings)
    if masker is not None:
        nn.init.normal_(model.mask_token)
    return model


def masker_of(name):
    """By its name: score and partition."""
    return {
        "block_ibot": lambda: Masker(DrawnBlock(RandomRatio(unmasked=0.2)), Covered()),
        "random_ratio": lambda: Masker(Random(), RandomRatio(unmasked=0.2)),
        "random": lambda: Masker(Random(), FixedRatio(0.5)),
        "sbm": lambda: Masker(Salience(), FixedRatio(0.5)),
        "amt": lambda: Masker(Attention(AttentionStore()), ThrowMiddle(0.4, 0.3)),
        "attmask": lambda: Masker(AttMask(AttentionStore()), RandomRatio(per="batch")),
        "mst": lambda: Masker(MST(AttentionStore()), FixedRatio(0.3)),
        "cells": lambda: Masker(AttMask(AttentionStore()), FixedRatio(0.5), cell=2),
    }[name]()


NAMES = ["block_ibot", "random_ratio", "random", "sbm", "amt", "attmask", "mst", "cells"]


def training(masker, dims=("cls", "patch"), teacher=ViewsEMA, model=IBOT, **settings):
    torch.manual_seed(0)
    kinds = {"cls": ClsDistillation, "patch": PatchDistillation}
    loss = AcrossViews({name: kinds[name](20) for name in dims}, dict.fromkeys(dims, 1.0))
    built = partial(model, encoder(), masker, HEAD, **settings) if model is IBOT else model
    return Pretrain(built, loss, torch.optim.SGD, Constant(), 1e-3, 0.05, teacher=teacher)


@pytest.mark.parametrize("name", NAMES)
def test_every_masker_trains_every_weight_of_the_student_and_none_of_the_teacher(name):
    task = training(masker_of(name)).train()
    task.teacher.begin(task.model)
    loss, terms, made = task.objective(views())
    assert terms.keys() == {"cls", "patch"}
    assert made.cls.shape == (4, 3, 20)
    assert made.patch.shape == (made.split.hidden(L).sum(), 20)
    loss.backward()
    without = {
        name for name, p in task.model.named_parameters() if p.grad is None and p.requires_grad
    }
    assert not without
    assert task.model.mask_token.grad.abs().max() > 0
    assert all(p.grad is None for p in task.teacher.parameters())


def test_views_of_one_size_pass_together_as_they_would_alone():
    model, batch = student(dims={"cls": 20}), views()
    made = model(batch)
    for number, view in enumerate(batch.views):
        assert torch.allclose(
            made.cls[number], model.head(model.encoder(view.image)[:, 0]), atol=1e-6
        )
    assert (made.patch, made.split) == (None, None)


def test_each_large_view_of_an_image_has_a_mask_of_its_own():
    hidden = student(masker_of("random"))(views()).split.hidden(L)[:, 0]
    assert torch.all(hidden.sum(1) == 8)
    assert not torch.equal(hidden[:3], hidden[3:])


def test_large_views_stand_view_by_view_each_with_the_key_that_it_has_alone():
    batch, large = views(), views().of_views(2)
    assert large.index.tolist() == [0, 1, 2, 0, 1, 2]
    for number in range(2):
        alone, rows = batch.of_view(number), slice(3 * number, 3 * number + 3)
        assert torch.equal(large.key[rows], alone.key)
        assert torch.equal(large.image[rows], alone.image)


def test_views_that_a_batch_has_not_are_refused():
    with pytest.raises(ValueError, match="3 views of an image are compared, and the batch has 2"):
        views(small=0).of_views(3)


def test_attention_that_comes_with_the_batch_is_not_gathered_beforehand():
    model = student(masker_of("attmask"))
    callback = RefreshAttention("nowhere.npy")
    callback.on_train_start(None, model)
    assert callback.maps is None
    assert model.attends


class Said(nn.Module):
    """Masker whose splits do not say that nothing is thrown, or list visible patches in another
    order.
    """

    needs_tokens = False

    def __init__(self, masker, change):
        super().__init__()
        self.masker, self.change = masker, change

    def forward(self, *inputs):
        return self.change(self.masker(*inputs))


@pytest.mark.parametrize("name", ["block_ibot", "random"])
def test_mask_tokens_in_place_of_patches_are_mask_tokens_before_the_others(name):
    """Where nothing is thrown, all patches are embedded and some replaced; else the masked ones are
    put before the others.
    """
    whole, apart = (
        student(masker_of(name)),
        student(Said(masker_of(name), lambda s: s._replace(whole=False))),
    )
    if name == "random":  # as long as the grid, it is known to throw nothing: one too many is not
        apart.masker.change = lambda s: s._replace(
            visible=torch.cat([s.visible, s.visible[..., :1]], -1),
            visible_valid=torch.arange(9) < torch.full((len(s.visible), 1, 1), 8),
        )
    a, b = whole(views()), apart(views())
    assert torch.allclose(a.cls, b.cls, atol=1e-5)
    assert torch.equal(a.masked.number, b.masked.number)
    assert torch.allclose(a.patch, b.patch, atol=1e-5)


def test_thrown_patches_change_nothing():
    model, batch = student(masker_of("amt")), views()
    for store in model.stores:
        store.live = False
        store.maps = torch.ones(3, 4, 4).half()
    made = model(batch)
    rest = ~made.split.hidden(L)[:, 0]
    rest.scatter_(1, made.split.visible[:, 0], False)
    assert rest.sum(1).tolist() == [5] * 6
    changed = [view.image.clone() for view in batch.views]
    for number in range(2):
        tiles = changed[number].unfold(2, 4, 4).unfold(3, 4, 4)
        for row in range(3):
            for patch in rest[3 * number + row].nonzero().flatten().tolist():
                tiles[row, :, patch // 4, patch % 4] += 9
    again = model(
        batch._replace(
            views=tuple(v._replace(image=i) for v, i in zip(batch.views, changed, strict=True))
        )
    )
    assert torch.equal(made.cls, again.cls)


def test_only_masked_patches_pass_the_head_and_come_out_as_if_all_did():
    model, batch = student(masker_of("random")), views(small=0)
    made = model(batch)
    image = batch.of_views(2).image
    tokens = model.encoder.encode(model.cover(image, made.split.hidden(L)[:, 0]))
    expected = model.head.of_patches(model.head.features(tokens[:, 1:]))
    assert torch.allclose(
        made.patch, take(expected, made.split.masked)[:, 0].flatten(0, 1), atol=1e-6
    )


def test_attmask_hides_what_the_teacher_attends_to_in_the_same_view():
    task = training(Masker(AttMask(AttentionStore()), FixedRatio(0.25, "mask_down"))).train()
    with torch.no_grad():
        for block in task.teacher.network.blocks:
            block.attn.qkv.weight.normal_()
    assert task.model.attends
    _, _, made = task.objective(views())
    seen = task.teacher(views(), attends=True)
    assert seen.attention.shape == (6, 2, 4, 4)
    expected = task.teacher.network.attention(views().of_views(2).image, [0])[:, :, 0, 1:]
    assert torch.allclose(seen.attention.flatten(2), expected, atol=1e-6)
    most = expected.mean(1).topk(4, dim=1).indices
    assert torch.equal(made.split.masked[:, 0].sort(1).values, most.sort(1).values)
    assert task.teacher(views()).attention is None


def test_a_step_under_bf16_is_near_that_of_float32():
    losses = []
    for half in (False, True):
        task = training(masker_of("block_ibot")).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss, _, _ = task.objective(views())
        loss.backward()
        assert loss.dtype == torch.float32
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)


@pytest.mark.parametrize("name", ["block_ibot", "amt", "attmask"])
def test_a_step_whose_shapes_go_by_no_mask_is_the_same(name, monkeypatch):
    """As compiled: padding passes the head."""
    losses, places = [], []
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)  # noqa: B023
        loss, _, made = training(masker_of(name)).train().objective(views())
        losses.append(loss.item())
        places.append(len(made.patch))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert places[1] == made.split.masked.numel() >= places[0]


def test_a_step_in_which_nothing_is_masked_gives_every_weight_a_gradient():
    task = training(Masker(Random(), RandomRatio(unmasked=0.999))).train()
    loss, _, made = task.objective(views())
    assert len(made.patch) == 0
    loss.backward()
    assert all(p.grad is not None for p in task.model.parameters() if p.requires_grad)


@pytest.mark.slow
def test_a_step_is_one_graph():
    task = training(masker_of("attmask")).train()
    compiled = torch.compile(task.objective, fullgraph=True, backend="eager")
    for number in range(2):  # another temperature and another ratio compile nothing again
        for part in task.parts:
            part.begin_step(Progress(number, 4, 2))
        expected, found = (objective(views())[0] for objective in (task.objective, compiled))
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: student(None), "predicts masked patches and nothing masks any"),
        (
            lambda: student(masker_of("random"), {"pixel": 48}),
            "the loss has the terms pixel, and IBOT projects",
        ),
        (lambda: student(Masker(Random(), ParallelParts(4)))(views()), "this masker makes 4 parts"),
        (
            lambda: student(dims={"cls": 20})(views().of_view(0)),
            "the batch has 1",
        ),
        (
            lambda: IBOT(encoder(), masker_of("random"), partial(HEAD, norm="batch"), DIMS),
            "a batch norm would go by the masked patches alone",
        ),
        (
            lambda: IBOT(Beit(16, 4, 8, 2, 2), None, HEAD, {"cls": 20})(views()),
            "Beit takes images of 16 x 16 alone, and there are smaller views",
        ),
        (
            lambda: training(masker_of("random"), teacher=None),
            "there is no teacher; add teacher=views",
        ),
        (
            lambda: training(masker_of("random"), teacher=EMA),
            "compares views, and needs teacher=views",
        ),
        (
            lambda: training(
                None,
                model=lambda target_dims: MAE(
                    encoder(), masker_of("random"), lambda **_: nn.Identity(), {"a": 1}
                ),
            ),
            "MAE predicts patches; take model=ibot",
        ),
        (
            lambda: AcrossViews({"cls": Term(Features(1))}, {"cls": 1.0}),
            "is a Term, which compares no views",
        ),
        (lambda: ViewsEMA(student(dims={"cls": 20}), of=["encoder"]), "needs the head"),
    ],
    ids=[
        "no masker",
        "other terms",
        "parts",
        "one view",
        "batch norm",
        "one size",
        "no teacher",
        "ema",
        "mae",
        "term",
        "of",
    ],
)
def test_what_is_not_defined_is_refused_in_a_line(build, message):
    with pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)


def test_the_teacher_follows_encoder_and_head():
    task = training(masker_of("random"), teacher=partial(ViewsEMA, momentum=Cosine(0.5, 0.5)))
    task.teacher.begin(task.model)
    before = task.teacher.state_dict()["head.last_layer.weight_v"].clone()
    with torch.no_grad():
        for p in task.model.parameters():
            p.add_(1.0)
    task.teacher.after_step(task.model, Progress(0, 1, 1))
    assert torch.allclose(
        task.teacher.state_dict()["head.last_layer.weight_v"], before + 0.5, atol=1e-6
    )
    assert task.teacher.train().get_submodule("head").training
    assert not task.teacher.network.training


def test_all_views_and_the_teacher_count_as_work():
    """Twice as many small views cost the student more and the teacher nothing; a step of the
    student counts three times.
    """
    task = training(masker_of("block_ibot"))
    few, many = (flops_per_image(task, views(small=small)) for small in (2, 4))
    small = flops(lambda: cls_tokens(task.model.encoder, views().views[2].image), 3)
    head = flops(lambda: task.model.head(torch.zeros(3, 8)), 3)
    assert many - few == pytest.approx(2 * 3 * (small + head), rel=0.01)
    assert few > 3 * flops(lambda: task.model(views()), 3)
