"""Cross entropies across views and of masked patches: worked out by hand, and the same however a
step is split.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.loss.centred import Centred
from mim.loss.distillation import ClsDistillation, PatchDistillation
from mim.masker.split import Split
from mim.optim.number import Lines, Linspace, described_schedules
from mim.part import Progress
from mim.views import Seen, Shown


def cross_entropy(teacher, student, temperature=0.04):
    return -((teacher / temperature).softmax(-1) * (student / 0.1).log_softmax(-1)).sum(-1).mean()


@settings(max_examples=15)
@given(large=st.integers(1, 3), small=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_large_view_is_predicted_from_every_other_view(large, small, seed):
    torch.manual_seed(seed)
    student, teacher = torch.randn(large + small, 3, 6), torch.randn(large, 3, 6)
    pairs = [(q, v) for q in range(large) for v in range(large + small) if v != q]
    expected = sum(cross_entropy(teacher[q], student[v]) for q, v in pairs) / len(pairs)
    found = ClsDistillation(6)(Shown(student), Seen(teacher))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_view_in_which_nothing_is_masked_counts_as_nothing():
    student, teacher = torch.randn(1, 6), torch.randn(2, 4, 6)
    masked = torch.tensor([[[3, 0]], [[1, 2]]])
    split = Split(masked, masked, None, torch.tensor([[[True, False]], [[False, False]]]))
    found = PatchDistillation(6)(
        Shown(student, student, split.masked_patches(4)), Seen(teacher, teacher, torch.eye(6))
    )
    assert found.item() == pytest.approx(
        cross_entropy(teacher[0, 3], student[0]).item() / 2, rel=1e-5
    )


def test_a_constant_teacher_teaches_nothing_once_it_is_centred():
    term, constant = ClsDistillation(6, centre_momentum=0.0), torch.randn(1, 1, 6).expand(2, 3, 6)
    term(Shown(torch.randn(3, 3, 6)), Seen(constant))
    term.target.after_step(term, Progress(0, 1, 1))
    assert torch.allclose(term.target(constant), torch.full_like(constant, 1 / 6), atol=1e-5)


def test_a_centre_moves_once_a_step_by_all_that_was_seen_in_it():
    torch.manual_seed(0)
    outputs = torch.randn(2, 6, 5)
    whole, parts = Centred(5), Centred(5)
    for step in range(3):
        whole.observe(outputs.mean((0, 1)), 12)
        for some in outputs.split(3, dim=1):
            parts.observe(some.mean((0, 1)), 6)
            assert torch.allclose(parts.centre, whole.centre, atol=1e-6)
        for each in (whole, parts):
            each.after_step(each, Progress(step, 3, 1))
    assert torch.allclose(parts.centre, whole.centre, atol=1e-6)
    assert torch.allclose(whole.centre, outputs.mean((0, 1)) * (1 - 0.9**3), atol=1e-6)


def test_a_step_in_which_nothing_was_seen_leaves_the_centre():
    centred = Centred(3)
    centred.centre.fill_(2.0)
    centred.eval().observe(torch.ones(3), 4)  # nothing is remembered of what is only looked at
    centred.after_step(centred, Progress(0, 1, 1))
    assert torch.all(centred.centre == 2.0)
    assert set(centred.state_dict()) == {"centre"}


def test_the_temperature_of_a_step_is_that_of_its_epoch():
    centred = Centred(2, Linspace(0.5, 1.0, 3))
    for step, expected in enumerate([0.5, 0.5, 0.75, 0.75, 1.0, 1.0, 1.0]):
        centred.begin_step(Progress(step, 8, 2))
        assert centred.in_force.item() == expected
    assert described_schedules([centred], 8, 2) == ["temperature of Centred 0.5 to 1 (Linspace)"]
    assert torch.allclose(centred(torch.tensor([1.0, 0.0])), torch.tensor([1.0, 0.0]).softmax(-1))


@pytest.mark.parametrize(("after", "expected"), [(0, [1.0, 2.0, 2.0]), (1, [1.0, 1.0, 2.0])])
def test_a_change_of_one_epoch_begins_at_its_start(after, expected):
    schedule = Linspace(1.0, 2.0, 1, after)
    assert [schedule(Progress(epoch, 3, 1)) for epoch in range(3)] == expected


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match=r"temperature=0.0 does not fit; it should be more than 0"):
        Centred(2, 0.0)
    with pytest.raises(ValueError, match="a teacher's temperature is -1 at step 0"):
        Centred(2, Linspace(-1.0, 1.0, 3))
    with pytest.raises(ValueError, match=r"Centred\.momentum=1\.5"):
        Centred(2, 0.1, 1.5)
    with pytest.raises(ValueError, match="the batch has one of each"):
        ClsDistillation(6)(Shown(torch.randn(1, 3, 6)), Seen(torch.randn(1, 3, 6)))


@pytest.mark.parametrize("biased", [False, True])
def test_what_a_linear_layer_makes_is_centred_and_sharpened_as_its_outputs_are(biased):
    torch.manual_seed(0)
    centred, features, layer = Centred(6, 0.3), torch.randn(4, 5), torch.nn.Linear(5, 6, biased)
    centred.centre.copy_(torch.randn(6))
    outputs, found = layer(features), centred.of_linear(features, layer.weight, layer.bias)
    assert torch.allclose(found, centred(outputs), atol=1e-6)
    assert torch.allclose(found, ((outputs - centred.centre) / 0.3).softmax(-1), atol=1e-6)
    assert not found.requires_grad
    assert torch.equal(outputs, layer(features))  # what is given stays as it is


def test_a_temperature_that_falls_to_nothing_is_refused():
    with pytest.raises(ValueError, match="temperature is 0 at step 3; it has to stay above 0"):
        Centred(4, Lines([1.0, 0.0], [0, 3])).begin_step(Progress(3, 4, 1))
