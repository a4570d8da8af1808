"""Schedules that are a step ahead, and longer than the training."""

import pytest
import torch

from mim.optim.follow import Follow
from mim.optim.number import Cosine
from mim.optim.stretched import StretchedCosine
from mim.part import Progress


def test_it_rises_from_above_zero_and_falls_by_half_a_cosine():
    schedule = StretchedCosine(2, start_lr=2e-4, min_lr=1e-4)
    assert [schedule(Progress(epoch, 10, 1), 1e-3) for epoch in (0, 1, 2, 6, 10)] == pytest.approx(
        [0.2, 0.6, 1, 0.55, 0.1]
    )


def test_a_rise_has_whole_steps():
    """Of 4.5 steps 4 (facebookresearch/ijepa, src/utils/schedulers.py); what is given in steps
    loses none, though 29 / 100 * 100 is below 29.
    """
    assert StretchedCosine(1.5)(Progress(4, 300, 3), 1e-3) == pytest.approx(1, abs=1e-3)
    steps = StretchedCosine(0, warmup_steps=29)
    assert [steps(Progress(step, 1000, 100), 1e-3) for step in (28, 29)] == pytest.approx(
        [28 / 29, 1]
    )


def test_a_stretched_one_ends_before_its_end():
    schedule = StretchedCosine(0, stretch=1.25)
    assert schedule(Progress(10, 10, 1), 1e-3) == pytest.approx(
        StretchedCosine(0)(Progress(8, 10, 1), 1e-3)
    )


def test_rate_and_decay_of_a_step_are_those_of_the_step_after():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=1e-3, weight_decay=0.1)
    schedule, decay = StretchedCosine(2), Cosine(0.1, 0.3, stretch=2.0, ahead=True)
    follow = Follow(optimizer, schedule, 1e-3, 20, 2, decay)
    for step in range(20):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(
            1e-3 * schedule(Progress(step + 1, 20, 2), 1e-3)
        )
        assert optimizer.param_groups[0]["weight_decay"] == pytest.approx(
            Cosine(0.1, 0.3, stretch=2.0)(Progress(step + 1, 20, 2))
        )
        optimizer.step()
        follow.step()
    assert decay(Progress(19, 20, 2)) == pytest.approx(0.2)  # half-way of one that is twice as long


def test_one_that_is_shorter_than_the_training_is_refused():
    with pytest.raises(
        ValueError, match=r"StretchedCosine.stretch=0.5 does not fit; it should be at least 1"
    ):
        StretchedCosine(1, stretch=0.5)
