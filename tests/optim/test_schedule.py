from itertools import pairwise

import pytest

from mim.optim.schedule import Constant, WarmupCosine
from mim.part import Progress


def test_it_rises_linearly_then_falls_by_half_a_cosine():
    schedule = WarmupCosine(warmup_epochs=2)
    assert [schedule(Progress(epoch, 10, 1), 1e-3) for epoch in (0, 1, 2, 6, 10)] == pytest.approx(
        [0, 0.5, 1, 0.5, 0], abs=1e-12
    )


def test_it_ends_at_an_absolute_learning_rate():
    schedule = WarmupCosine(warmup_epochs=0, min_lr=1e-4)
    assert schedule(Progress(0, 10, 1), 1e-3) == 1
    assert schedule(Progress(10, 10, 1), 1e-3) == pytest.approx(0.1)


def test_a_share_is_never_above_the_peak_and_never_jumps():
    schedule = WarmupCosine(warmup_epochs=3.5)
    shares = [schedule(Progress(step, 2000, 100), 1e-3) for step in range(2001)]
    assert max(shares) <= 1
    assert max(abs(a - b) for a, b in pairwise(shares)) < 0.004


@pytest.mark.parametrize("warmup", [10, 40])
def test_a_warm_up_as_long_as_the_training_is_refused(warmup):
    with pytest.raises(ValueError, match=f"warmup_epochs={warmup} leaves nothing of epochs=10"):
        WarmupCosine(warmup)(Progress(0, 10, 1), 1e-3)


def test_steps_that_end_in_mid_epoch_are_said_as_steps():
    with pytest.raises(
        ValueError, match=r"^warmup_epochs=1 leaves nothing of steps=25; .*steps=2$"
    ):
        WarmupCosine(1)(Progress(0, 25, 100), 1e-3)


def test_a_warm_up_that_was_given_in_steps_is_to_be_shortened_in_steps():
    with pytest.raises(
        ValueError, match=r"^warmup_steps=250 leaves nothing of epochs=10; .*warmup_steps=20$"
    ):
        WarmupCosine(0, warmup_steps=250)(Progress(0, 200, 20), 1e-3)


def test_constant_is_the_peak():
    assert {Constant()(Progress(epoch, 10, 1), 1e-3) for epoch in (0, 5, 10)} == {1.0}


def test_negative_settings_are_refused():
    with pytest.raises(ValueError, match=r"warmup_epochs=-1 does not fit; it should be at least 0"):
        WarmupCosine(-1)
