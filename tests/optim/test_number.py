"""A number that changes over a training: where it begins, where it ends, what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mim.optim.number import Cosine, Lines, describe_number, number_at
from mim.part import Progress

STEPS = st.integers(2, 1000)


def test_a_cosine_is_that_of_ibot():
    # utils.cosine_scheduler(0.996, 1, epochs=2, niter_per_ep=2) of bytedance/ibot
    expected = [
        0.996,
        0.996 + 0.004 * (1 - math.cos(math.pi / 4)) / 2,
        0.998,
        0.996 + 0.004 * (1 + math.cos(math.pi / 4)) / 2,
    ]
    assert [Cosine(0.996, 1.0)(Progress(step, 4, 2)) for step in range(4)] == pytest.approx(
        expected, rel=1e-12
    )


@given(steps=STEPS, start=st.floats(0, 1), end=st.floats(0, 1))
def test_a_cosine_stays_between_its_ends_and_never_turns(steps, start, end):
    values = [Cosine(start, end)(Progress(step, steps, 1)) for step in range(steps)]
    assert values[0] == pytest.approx(start, abs=1e-12)
    assert values in (sorted(values), sorted(values, reverse=True))
    assert min(start, end) - 1e-12 <= min(values) <= max(values) <= max(start, end) + 1e-12


def test_lines_go_through_their_points_and_stay_where_the_last_is():
    lines = Lines([0.999, 0.9999, 0.99999], [0, 100, 400])
    at = [number_at(lines, Progress(2 * epoch, 1602, 2)) for epoch in (0, 50, 100, 250, 400, 800)]
    assert at == pytest.approx([0.999, 0.99945, 0.9999, 0.999945, 0.99999, 0.99999], rel=1e-12)


@given(step=st.integers(0, 99), per_epoch=st.integers(1, 20))
def test_lines_by_epoch_change_once_an_epoch(step, per_epoch):
    epoch = step // per_epoch
    steps = Progress(step, 100, per_epoch), Progress(epoch * per_epoch, 100, per_epoch)
    by_epoch, by_step = (Lines([0.0, 10.0], [0, 10], change) for change in ("epoch", "step"))
    assert by_epoch(steps[0]) == by_epoch(steps[1]) == pytest.approx(by_step(steps[1]))
    assert by_epoch(steps[0]) == min(10, epoch)


@pytest.mark.parametrize(
    ("values", "epochs"), [([1.0], [1]), ([1.0, 2.0], [0]), ([], []), ([1.0, 2.0, 3.0], [0, 5, 5])]
)
def test_points_that_do_not_go_together_are_refused(values, epochs):
    with pytest.raises(ValueError, match=r"ascending from 0, e\.g\. values"):
        Lines(values, epochs)


def test_a_run_can_say_where_a_number_begins_and_ends():
    assert describe_number(0.9998, 10, 5) == "0.9998"
    assert describe_number(Lines([0.5, 0.7], [0, 1]), 10, 5) == "0.5 to 0.7 (Lines)"
    assert describe_number(Cosine(0.0, 1.0), 2, 1) == "0 to 0.5 (Cosine)"
