"""A teacher is the average of its student's weights, and is taught by nothing else."""

import copy
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.optim.number import Cosine
from mim.optim.schedule import Constant
from mim.part import Progress, parts_of
from mim.target.features import Features
from mim.target.pixel import Pixel
from mim.teacher.ema import EMA
from mim.train.pretrain import Pretrain


def student(drop_path=0.0):
    torch.manual_seed(0)
    encoder = ViT(16, 4, 8, 2, 2, drop_path=drop_path)
    return MAE(
        encoder,
        Masker(Random(), FixedRatio(0.5)),
        partial(Decoder, width=8, depth=1, heads=2),
        {"features": None},
    )


@torch.no_grad()
def move(model, seed):
    """Change every weight, as an optimiser would."""
    torch.manual_seed(seed)
    for p in model.parameters():
        p += torch.randn_like(p)


def pretrain(loss, teacher):
    model = partial(
        MAE,
        ViT(16, 4, 8, 2, 2),
        Masker(Random(), FixedRatio(0.5)),
        partial(Decoder, width=8, depth=1, heads=2),
    )
    return Pretrain(
        model, loss, partial(torch.optim.AdamW), Constant(), 1e-3, 0.05, teacher=teacher
    )


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.encoder.parameters()])


@settings(max_examples=20)
@given(momentum=st.floats(0, 1), steps=st.integers(1, 4))
def test_after_each_step_it_is_the_formula(momentum, steps):
    model = student()
    teacher = EMA(model, momentum)
    teacher.begin(model)
    expected = weights(model).double()
    for step in range(steps):
        move(model, step)
        teacher.after_step(model, Progress(step, steps, steps))
        expected = momentum * expected + (1 - momentum) * weights(model).double()
    assert torch.allclose(weights(teacher).double(), expected, atol=1e-5)


@pytest.mark.parametrize(("momentum", "whose"), [(1.0, "before"), (0.0, "after")])
def test_momentum_1_never_moves_and_0_is_the_student(momentum, whose):
    model = student()
    teacher = EMA(model, momentum)
    teacher.begin(model)
    known = {"before": weights(model).clone()}
    move(model, 1)
    known["after"] = weights(model)
    teacher.after_step(model, Progress(0, 1, 1))
    assert torch.equal(weights(teacher), known[whose])


@pytest.mark.parametrize(("late", "behind"), [(False, 0), (True, 1)])
def test_one_that_is_late_follows_a_step_behind(late, behind):
    """With the momentum of the step in which it follows."""
    model = student()
    teacher = EMA(model, Cosine(0.0, 1.0), late=late)
    teacher.begin(model)
    known, expected = [weights(model).clone()], weights(model).double()
    for step in range(4):
        progress = Progress(step, 4, 2)
        teacher.begin_step(progress)
        teacher.before_step(model)
        move(model, step)
        teacher.after_step(model, progress)
        known.append(weights(model).clone())
        momentum = teacher.momentum(progress)
        expected = momentum * expected + (1 - momentum) * known[step + 1 - behind].double()
        assert torch.allclose(weights(teacher).double(), expected, atol=1e-5)


def test_the_momentum_of_a_step_is_that_of_its_schedule():
    model = student()
    teacher = EMA(model, Cosine(0.0, 1.0))
    before = weights(model).clone()
    move(model, 1)
    teacher.after_step(model, Progress(2, 4, 2))  # half-way
    assert torch.allclose(weights(teacher), (before + weights(model)) / 2, atol=1e-6)


def test_it_begins_with_the_weights_that_the_student_has_then():
    model = student()
    teacher = EMA(model)
    move(model, 1)  # somebody loads a checkpoint
    teacher.begin(model)
    assert torch.equal(weights(teacher), weights(model))


def test_no_gradient_reaches_it_and_it_drops_no_path(batch_of):
    model = student(drop_path=0.9)
    teacher, batch = EMA(model), batch_of(torch.randn(2, 3, 16, 16))
    assert teacher.train().encoder.training is False
    assert torch.equal(*(teacher(batch.image, [2])[0] for _ in range(2)))
    assert not teacher(batch.image.clone().requires_grad_(), [2])[0].requires_grad
    made, loss = model(batch), Term(Features(1))
    loss(made.prediction, batch.image, made.split, teacher).backward()
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert model.encoder.patch_embed.proj.weight.grad.abs().max() > 0


def test_it_is_a_part_of_the_training_and_of_its_checkpoint():
    task = pretrain(Term(Features(1)), EMA)
    assert task.teacher in parts_of(task)
    names = {name for name in task.state_dict() if name.startswith("teacher.encoder.")}
    assert len(names) == len(task.model.encoder.state_dict())
    trained = {id(p) for p in task.model.parameters()}
    assert not trained & {id(p) for p in task.teacher.parameters()}


def test_the_order_of_parts_does_not_matter():
    """A teacher and whatever else is told of the same step: either first gives the same weights."""
    model = student()
    first, second = EMA(model, 0.5), EMA(model, 0.9)
    ends = []
    for order in ((first, second), (second, first)):
        fresh = copy.deepcopy(model)
        for part in order:
            part.begin(fresh)
        for step in range(2):
            move(fresh, step)
            for part in order:
                part.after_step(fresh, Progress(step, 2, 2))
        ends.append((weights(first).clone(), weights(second).clone()))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_it_can_average_a_head_too():
    model = student()
    teacher = EMA(model, 0.5, ["encoder", "decoder"])
    assert set(dict(teacher.named_children())) == {"encoder", "decoder"}
    before, name = model.decoder.predict.weight.detach().clone(), "decoder.predict.weight"
    move(model, 1)
    teacher.after_step(model, Progress(0, 1, 1))
    assert torch.allclose(
        teacher.state_dict()[name], (before + model.decoder.predict.weight) / 2, atol=1e-6
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"momentum": 1.5}, "needs a share from 0 to 1"),
        ({"of": ["decoder"]}, "needs the encoder, and can average encoder, masker, decoder"),
        ({"of": ["encoder", "hed"]}, r"of=\['encoder', 'hed'\]; needs the encoder"),
    ],
)
def test_what_cannot_work_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        EMA(student(), **settings)


def test_a_schedule_that_leaves_the_range_is_refused_when_it_does():
    model = student()
    with pytest.raises(ValueError, match=r"teacher\.momentum is 1\.5 at step 0"):
        EMA(model, Cosine(1.5, 1.0)).after_step(model, Progress(0, 1, 1))


def test_a_target_without_a_teacher_and_a_teacher_without_a_target_are_refused():
    with pytest.raises(ValueError, match="there is no teacher; add teacher=ema"):
        pretrain(Term(Features(1)), None)
    with pytest.raises(ValueError, match="nothing looks at it"):
        pretrain(Term(Pixel(Geometry.of(4, 4))), EMA)
    assert isinstance(pretrain(Term(Features(1)), EMA).teacher, nn.Module)


def test_a_teacher_begins_with_the_students_buffers_too():
    """Of a student whose tables were loaded after the teacher was built."""
    model = student()
    model.encoder.register_buffer("table", torch.zeros(3))
    teacher = EMA(model)
    model.encoder.table.fill_(2.0)
    teacher.begin(model)
    assert teacher.network.table.tolist() == [2.0, 2.0, 2.0]
