"""Where a training goes on whose steps have another length."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mim.run.position import Length, Pace, Position, go_on_from, position_after, position_to_resume

IMAGES = st.integers(1, 400)


def pace(images, size=1000):
    return Pace(images, size // images, size)


def test_it_goes_on_after_the_same_images():
    assert position_after(5, pace(100), pace(100)) == Position(0, 5)
    assert position_after(14, pace(100), pace(200)) == Position(1, 2)
    assert position_after(14, pace(100), pace(50)) == Position(1, 8)


def test_images_that_fill_no_whole_step_are_seen_again():
    assert position_after(3, pace(100), pace(200)) == Position(0, 1, 100)


def test_the_end_of_an_epoch_is_the_end_of_an_epoch():
    """1,000 images are 3 steps of 300 or 2 of 400: after the last of those, or where nothing is
    left that fills one of these.
    """
    assert position_after(3, pace(300), pace(400)) == Position(1, 0)
    assert position_after(9, pace(100), pace(400)) == Position(1, 0)


@given(st.integers(0, 3000), IMAGES, IMAGES)
def test_no_image_is_left_out_but_those_that_fill_no_step(steps, before, now):
    at, before, now = position_after(steps, pace(before), pace(now)), pace(before), pace(now)
    epoch, done = divmod(steps, before.steps)
    assert 0 <= at.step < now.steps
    if at.epoch == epoch:
        assert at.step * now.images + at.again == done * before.images
        assert at.again < now.images
    else:
        assert at == Position(epoch + 1, 0)
        assert done * before.images >= now.steps * now.images


@given(st.integers(0, 3000), IMAGES)
def test_at_the_same_pace_it_is_the_same_step(steps, images):
    at = position_after(steps, pace(images), pace(images))
    assert (at.epoch * (1000 // images) + at.step, at.again) == (steps, 0)


def saved():
    """As much of a checkpoint as says where it stands, with counters that nobody believes."""
    counts = {
        part: {"ready": 7, "completed": 5, "started": 7, "processed": 6}
        for part in ("total", "current")
    }
    fit = {
        "epoch_progress": deepcopy(counts),
        "epoch_loop.batch_progress": {**deepcopy(counts), "is_last_batch": False},
        "epoch_loop.scheduler_progress": deepcopy(counts),
        "epoch_loop.val_loop.batch_progress": deepcopy(counts),
        "epoch_loop.state_dict": {"_batches_that_stepped": 99},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {"step": deepcopy(counts), "zero_grad": deepcopy(counts)}
        },
    }
    return {"loops": {"fit_loop": fit}, "lr_schedulers": [{"last_epoch": 3}]}


@given(st.integers(0, 50), st.integers(1, 12), st.integers(1, 4), st.integers(0, 3))
def test_all_counters_follow_from_one_number(taken, of_epoch, batches, judged_every):
    checkpoint, length = saved(), Length(50, of_epoch, batches, judged_every)
    go_on_from(checkpoint, taken, length)
    assert checkpoint["lr_schedulers"] == [{"last_epoch": taken}]
    if taken == 0:
        assert "loops" not in checkpoint
        return
    fit = checkpoint["loops"]["fit_loop"]
    progress, epochs = fit["epoch_loop.batch_progress"], fit["epoch_progress"]["current"]
    ended, done = epochs["completed"], progress["current"]["completed"]
    assert epochs == {
        "ready": ended + 1,
        "started": ended + 1,
        "processed": ended,
        "completed": ended,
    }
    assert (
        set(progress["total"].values()) == {taken * batches} == {ended * of_epoch * batches + done}
    )
    assert 0 < done <= of_epoch * batches
    assert progress["is_last_batch"] == (done == of_epoch * batches or taken == 50)
    owed = fit["epoch_loop.val_loop.batch_progress"]["total"]["ready"]
    assert owed == (
        progress["is_last_batch"] and judged_every > 0 and (ended + 1) % judged_every == 0
    )
    assert fit["epoch_loop.state_dict"]["_batches_that_stepped"] == taken - owed
    again = deepcopy(checkpoint)
    go_on_from(again, taken, length)
    assert again == checkpoint


def test_a_finished_training_may_be_gone_on_with_and_none_that_is_further_than_asked_for():
    pace = Pace(images=32, steps=6, training_set=192)
    checkpoint = {"global_step": 18, "pace": pace._asdict()}
    assert position_to_resume(checkpoint, pace, 18) == Position(3, 0)
    with pytest.raises(ValueError, match=r"^3 epochs \(18 steps\) are done, which is more than"):
        position_to_resume(checkpoint, pace, 17)
    with pytest.raises(ValueError, match="192 of them, and there are 191 here"):
        position_to_resume(checkpoint, pace._replace(training_set=191), 18)
