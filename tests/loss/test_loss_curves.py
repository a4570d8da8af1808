"""Trainings stay what they are when losses are put together differently."""

import json

import pytest

from tests.loss.curves import HELD, STEPS, TRAININGS, curve
from tests.slow import quick

# kernels of other processors move these by 1e-5; tests.loss.curves compares to the last bit
TOLERANCE = 3e-5
CURVES = json.loads(HELD.read_text())


OFTEN = ("mae/pixel", "mae/pixel_l1", "mae/frequency", "mae/consistency", "simmim/pixel_raw")


@pytest.mark.parametrize("training", quick(TRAININGS, *OFTEN))
def test_the_first_steps_of_a_training_have_the_losses_that_are_held(training):
    values = curve(TRAININGS[training])
    assert {
        name: pytest.approx(losses, rel=TOLERANCE) for name, losses in CURVES[training].items()
    } == values
    assert len(values["train/loss"]) == STEPS


def test_trainings_that_are_held_learn_and_differ_from_each_other():
    assert CURVES.keys() == TRAININGS.keys()
    assert all(losses["train/loss"][-1] < losses["train/loss"][0] for losses in CURVES.values())
    assert len({losses["train/loss"][-1] for losses in CURVES.values()}) == len(CURVES)
