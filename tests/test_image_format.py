"""Image format: what it says survives a file, and what a file says is checked."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mim.image_format import ImageFormat

FORMAT = ImageFormat((0.1, 0.2), (0.3, 0.4), 1.5, "bilinear", ("cat", "dog"))
number = st.floats(-10, 10)


def test_what_is_written_is_what_is_read():
    assert ImageFormat.from_plain(FORMAT.to_plain(), "a.ckpt") == FORMAT
    for range in ((0.0, 4095.0), "image", "percentiles"):
        ranged = FORMAT._replace(range=range)
        assert ImageFormat.from_plain(ranged.to_plain(), "a.ckpt") == ranged
    assert FORMAT.to_plain()["channels"] == FORMAT.channels == 2


@given(
    st.lists(st.tuples(number, st.floats(0.01, 10)), min_size=1, max_size=13),
    st.floats(1, 8),
    st.lists(st.text(max_size=20)),
)
def test_any_format_survives(channels, short, classes):
    mean, std = zip(*channels, strict=True)
    made = ImageFormat(mean, std, short, "bicubic", tuple(classes))
    assert ImageFormat.from_plain(made.to_plain(), "a.ckpt") == made


@given(st.integers(8, 1000))
def test_the_short_side_is_rounded_down_as_data_sets_round_it(size):
    assert ImageFormat((0,), (1,)).short_side(size) == size * 256 // 224
    assert ImageFormat((0,), (1,), (size + 5) / size).short_side(size) == size + 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "a.ckpt: images is a list"),
        ({"mean": [0.5]}, "images.std is None; needs a finite number"),
        ({"mean": [math.nan], "std": [1.0]}, "images.mean is "),
        ({"mean": [True], "std": [1.0]}, "images.mean is "),
        ({"mean": [0.5, 0.5], "std": [1.0]}, "needs as many numbers each"),
        ({"mean": [0.5], "std": [0.0]}, "deviations above 0"),
        ({"mean": [0.5], "std": [1.0], "short": 0.5}, "images.short=0.5"),
        ({"mean": [0.5], "std": [1.0], "interpolation": "area"}, "images.interpolation=area"),
        (
            {"mean": [0.5], "std": [1.0], "range": [5, 5]},
            "images.range is .5, 5.; needs two numbers",
        ),
        ({"mean": [0.5], "std": [1.0], "range": "own"}, "images.range is own; needs two numbers"),
        ({"mean": [0.5], "std": [1.0], "classes": [1]}, "images.classes is no list of names"),
        (
            {"mean": [0.5], "std": [1.0], "classes": ["a" * 2000]},
            "images.classes is no list of names",
        ),
    ],
)
def test_what_is_no_image_format_is_refused_by_its_name(content, said):
    with pytest.raises(ValueError, match=said):
        ImageFormat.from_plain(content, "a.ckpt")
