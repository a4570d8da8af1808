"""A number that goes in stairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mim.optim.stairs import Stairs
from mim.part import Progress


def test_the_sides_of_the_release_begin_at_its_epochs():
    """erow/FastSSL, util/dres.py: DynamicMasking(start_ramp=0, end_ramp=400, scheme=2) of 800
    epochs.
    """
    stairs, scheme = Stairs([160, 192, 224], [0.0, 0.25, 0.5]), [160, 192, 224]
    for epoch in range(800):
        released = scheme[epoch * 2 // 400] if epoch < 400 else scheme[-1]
        assert stairs(Progress(epoch * 10, 8000, 10)) == released
        assert stairs(Progress(epoch * 10 + 9, 8000, 10)) == released


@given(st.integers(1, 500), st.data())
def test_a_step_has_a_value_that_is_given_and_never_an_earlier_one(steps, data):
    stairs = Stairs([1.0, 2.0, 3.0], [0.0, 0.3, 0.9])
    step = data.draw(st.integers(0, steps - 1))
    values = [stairs(Progress(each, steps, 7)) for each in (step, steps - 1)]
    assert values[0] <= values[1]
    assert set(values) <= {1.0, 2.0, 3.0}
    assert stairs(Progress(0, steps, 7)) == 1.0


@pytest.mark.parametrize(
    ("values", "begin"),
    [
        ([1.0], [0.1]),
        ([1.0, 2.0], [0.0]),
        ([1.0, 2.0], [0.0, 0.0]),
        ([1.0, 2.0], [0.0, 1.0]),
        ([], []),
    ],
)
def test_stages_that_do_not_go_together_are_refused(values, begin):
    with pytest.raises(ValueError, match=r"Stairs got values=.*needs as many shares as values"):
        Stairs(values, begin)
