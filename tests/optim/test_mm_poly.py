"""Learning rate of mmsegmentation, by its own arithmetic."""

import pytest

from mim.optim.mm_poly import MMPoly
from mim.part import Progress


def test_the_fall_begins_with_the_first_step_and_the_rise_is_a_share_of_it():
    """160,000 steps of MAE's UPerNet (mmcv, lr_updater.py: get_lr, get_warmup_lr)."""
    schedule, steps = MMPoly(0, warmup_steps=1500, start=1e-6), 160_000
    for step in (0, 750, 1499, 1500, 80_000, 159_999):
        regular = 1 - step / steps
        short = (1 - step / 1500) * (1 - 1e-6) if step < 1500 else 0.0
        assert schedule(Progress(step, steps, 1000), 1e-4) == pytest.approx(
            regular * (1 - short), rel=1e-9
        )


def test_the_least_rate_is_the_same_for_every_group_and_the_power_bends_the_line():
    schedule = MMPoly(0, power=2.0, min_lr=0.1)
    assert schedule.per_group
    for lr in (1.0, 0.2):
        assert lr * schedule(Progress(10, 10, 1), lr) == pytest.approx(0.1)
        assert lr * schedule(Progress(5, 10, 1), lr) == pytest.approx(0.1 + (lr - 0.1) / 4)


def test_a_rise_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="warmup_steps=20 leaves nothing of epochs=2"):
        MMPoly(0, warmup_steps=20)(Progress(0, 20, 10), 1.0)
