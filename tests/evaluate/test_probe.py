"""Probes: a grid of heads is many heads alone, and the encoder is none the wiser."""

import copy
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from mim.augment.no_augment import NoAugment
from mim.data.digits import Digits
from mim.data.in_memory import InMemory, Stored
from mim.encoder.vit import ViT
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.heads import Heads, Setting
from mim.evaluate.probe import Probe
from mim.evaluate.probe_mae import ProbeMAE
from mim.optim.lars import Lars
from mim.pool.abmilp import AbMILP
from mim.pool.attentive import Attentive
from mim.pool.pool import Shape
from mim.pool.simple import Cls, Mean
from mim.pool.simpool import SimPool

SETTINGS = [Setting(1e-3, 0.0), Setting(1e-2, 0.0), Setting(1e-2, 0.1)]


@pytest.fixture
def subject(tmp_path):
    torch.manual_seed(0)
    encoder = ViT(image_size=32, patch_size=8, width=16, depth=2, heads=2)
    data = Digits(NoAugment(), image_size=32, batch_size=64)
    data.setup()
    return EvaluatedCheckpoint(
        "a", encoder, data, data.on_after_batch_transfer, nullcontext, Path(), "key", tmp_path
    )


def learnt(heads, x, label, steps=5):
    """Scores after some steps of AdamW."""
    optimizer = torch.optim.AdamW(heads.groups())
    for _ in range(steps):
        optimizer.zero_grad()
        heads.loss(x, label).backward()
        optimizer.step()
    return heads.eval()(x).detach()


@pytest.mark.parametrize(
    "pool",
    [nn.Identity, AbMILP, Attentive, SimPool, partial(AbMILP, depth=2, self_attention="map")],
)
def test_a_head_among_others_learns_what_it_learns_alone(pool):
    torch.manual_seed(0)
    pool = pool() if pool is nn.Identity else pool(Shape(16, (3, 3)))
    x, label = torch.randn(32, 9, 16), torch.randint(5, (32,))
    if isinstance(pool, nn.Identity):
        x = x[:, 0]
    together = learnt(Heads(pool, 16, 5, SETTINGS), x, label)
    alone = [learnt(Heads(pool, 16, 5, [setting]), x, label)[0] for setting in SETTINGS]
    assert all(
        torch.allclose(ours, theirs, atol=1e-5)
        for ours, theirs in zip(together, alone, strict=True)
    )
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_heads_are_what_torch_s_own_modules_compute():
    torch.manual_seed(0)
    x, label = torch.randn(32, 9, 16), torch.randint(5, (32,))
    heads = Heads(AbMILP(Shape(16, (3, 3))), 16, 5, SETTINGS[:1])
    plain = copy.deepcopy(heads.heads[0])
    ours = learnt(heads, x, label)[0]
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(plain(x), label).backward()
        optimizer.step()
    assert torch.allclose(ours, plain.eval()(x), atol=1e-5)


def numbers(table):
    return {(row["pool"], row["setting"]): (row["top1"], row["top5"]) for row in table}


@pytest.mark.parametrize("kept", [True, False])
def test_a_grid_of_probes_is_each_probe_alone_and_the_encoder_stays_as_it_was(subject, kept):
    subject = subject if kept else subject._replace(cache=None)
    before = copy.deepcopy(subject.encoder.state_dict())
    pools = {"cls": Cls(), "mean": Mean(), "abmilp": partial(AbMILP)}
    quick = partial(Probe, epochs=2, bank_limit=256, held_out_limit=64)
    together = quick(pools, lr=[1e-3, 1e-2], weight_decay=[0.0, 0.1])([subject])
    assert len(together["table"]) == 12
    assert together["probe/top1"] == max(row["top1"] for row in together["table"])
    alone = {}
    for name, pool in pools.items():
        for lr in (1e-3, 1e-2):
            for weight_decay in (0.0, 0.1):
                alone |= numbers(
                    quick({name: pool}, lr=lr, weight_decay=weight_decay)([subject])["table"]
                )
    assert numbers(together["table"]) == alone
    assert all(value.equal(before[name]) for name, value in subject.encoder.state_dict().items())
    assert all(weight.grad is None for weight in subject.encoder.parameters())
    assert subject.encoder.training


def test_the_official_recipe_learns_and_leaves_the_encoder_as_it_was(subject):
    before = copy.deepcopy(subject.encoder.state_dict())
    pools = {"mean": Mean(), "abmilp": partial(AbMILP)}
    recipe = partial(ProbeMAE, epochs=12, warmup_epochs=1, batch_size=128, held_out_limit=200)
    together = recipe(pools, base_lr=[1.0, 5.0])([subject])
    assert together["probe_mae/top1"] > 0.25
    alone = recipe({"mean": Mean()}, base_lr=5.0)([subject])
    assert (
        numbers(together["table"])[("mean", "lr=5 weight_decay=0")]
        == numbers(alone["table"])[("mean", "lr=5 weight_decay=0")]
    )
    assert all(value.equal(before[name]) for name, value in subject.encoder.state_dict().items())
    assert all(weight.grad is None for weight in subject.encoder.parameters())


def test_the_official_recipe_sees_augmented_images(subject):
    seen = []
    subject = subject._replace(
        prepare=lambda batch: seen.append(batch.key) or subject.data.on_after_batch_transfer(batch)
    )
    ProbeMAE(
        {"mean": Mean()},
        epochs=2,
        warmup_epochs=0,
        batch_size=1280,
        batch_norm_images=640,
        held_out_limit=64,
    )([subject])
    assert {len(keys) for keys in seen} == {64}  # no more than the data's batch size at once
    first, second = torch.cat(seen[:20]), torch.cat(seen[20:40])
    assert not set(first.tolist()) & set(second.tolist())  # other crops in every epoch


@pytest.mark.parametrize(("images", "sizes"), [(512, {512}), (256, {256}), (2048, {1024})])
def test_batch_norm_sees_as_many_images_as_are_asked_for_whatever_the_batch_size_of_the_data(
    subject, monkeypatch, images, sizes
):
    seen = []
    loss = Heads.loss
    monkeypatch.setattr(
        Heads, "loss", lambda heads, x, label: seen.append(len(x)) or loss(heads, x, label)
    )
    results = []
    for data_batch in (64, 100):
        subject.data.batch_size = data_batch
        probe = ProbeMAE(
            {"mean": Mean()},
            epochs=2,
            warmup_epochs=0,
            batch_size=1024,
            batch_norm_images=images,
            held_out_limit=200,
        )
        results.append(probe([subject])["table"])
    assert set(seen) == sizes
    assert results[0] == results[1]


def test_an_accumulated_step_has_the_gradient_of_the_mean_over_its_parts(subject, monkeypatch):
    """Batch norm apart: with it frozen, two parts of 512 are one batch of 1,024."""
    monkeypatch.setattr(nn.BatchNorm1d, "forward", lambda self, x: x)
    kept = []
    monkeypatch.setattr(
        Lars,
        "step",
        lambda self: kept.append([p.grad.clone() for g in self.param_groups for p in g["params"]]),
    )
    for images in (512, 1024):
        ProbeMAE(
            {"mean": Mean()},
            epochs=1,
            warmup_epochs=0,
            batch_size=1024,
            batch_norm_images=images,
            held_out_limit=64,
        )([subject])
    parts, whole = kept
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(parts, whole, strict=True))


def test_it_learns_from_labelled_images_where_others_have_none(subject):
    splits = subject.data.splits
    subject.data.__dict__["splits"] = splits._replace(
        train=InMemory(
            Stored(splits.train.image, torch.full_like(splits.train.label, -1)), NoAugment(), 32
        ),
        labelled=InMemory(
            Stored(splits.train.image[:600], splits.train.label[:600]), NoAugment(), 32
        ),
    )
    with pytest.raises(
        ValueError,
        match=r"more than the 600 training images of Digits; .* evaluate\.batch_size=512",
    ):
        ProbeMAE({"mean": Mean()})([subject])
    probe = ProbeMAE(
        {"mean": Mean()}, epochs=1, warmup_epochs=0, batch_size=600, batch_norm_images=600
    )
    assert probe([subject])["probe_mae/top1"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"batch_size": 1000},
            r"evaluate\.batch_size=1000 has to be a multiple of evaluate\.batch_norm_images=512; "
            r"e\.g\. .*=512",
        ),
        (
            {"batch_size": 16384},
            r"more than the 1,347 training images of Digits; .* is evaluate\.batch_size=1024",
        ),
        (
            {"batch_size": 4096, "batch_norm_images": 2048},
            r"the largest that fits is evaluate\.batch_size=1347",
        ),
    ],
)
def test_batches_that_no_images_fill_are_refused(subject, arguments, said):
    with pytest.raises(ValueError, match=said):
        ProbeMAE({"mean": Mean()}, **arguments)([subject])


@pytest.mark.parametrize("arguments", [{"lr": 0.0}, {"lr": []}, {"weight_decay": -1.0}])
def test_a_grid_without_learning_rates_is_refused(arguments):
    with pytest.raises(ValueError, match="a probe got lr="):
        Probe({"mean": Mean()}, **arguments)
