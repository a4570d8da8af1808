"""Where a training goes on whose steps have another length."""

from hypothesis import given
from hypothesis import strategies as st

from mim.task.position import Pace, Place, place

IMAGES = st.integers(1, 400)


def pace(images, size=1000):
    return Pace(images, size // images, size)


def test_it_goes_on_after_the_same_images():
    assert place(5, pace(100), pace(100)) == Place(0, 5)
    assert place(14, pace(100), pace(200)) == Place(1, 2)
    assert place(14, pace(100), pace(50)) == Place(1, 8)


def test_images_that_fill_no_whole_step_are_seen_again():
    assert place(3, pace(100), pace(200)) == Place(0, 1, 100)


def test_the_end_of_an_epoch_is_the_end_of_an_epoch():
    """1,000 images are 3 steps of 300 or 2 of 400: after the last of those, or where nothing is left that fills one of these."""
    assert place(3, pace(300), pace(400)) == Place(1, 0)
    assert place(9, pace(100), pace(400)) == Place(1, 0)


@given(st.integers(0, 3000), IMAGES, IMAGES)
def test_no_image_is_left_out_but_those_that_fill_no_step(steps, before, now):
    at, before, now = place(steps, pace(before), pace(now)), pace(before), pace(now)
    epoch, done = divmod(steps, before.steps)
    assert 0 <= at.step < now.steps
    if at.epoch == epoch:
        assert at.step * now.images + at.again == done * before.images
        assert at.again < now.images
    else:
        assert at == Place(epoch + 1, 0)
        assert done * before.images >= now.steps * now.images


@given(st.integers(0, 3000), IMAGES)
def test_at_the_same_pace_it_is_the_same_step(steps, images):
    at = place(steps, pace(images), pace(images))
    assert (at.epoch * (1000 // images) + at.step, at.again) == (steps, 0)
