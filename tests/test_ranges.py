"""Ranges of numbers, as hints say them: early of a config, late of a constructor, in one line."""

from collections.abc import Sequence
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mim.launch.values import check_value
from mim.masker.partition.thrown_parts import ThrownParts
from mim.ranges import Count, Counts, Fraction, Rising, Share, Size, Span, in_range, refuse_outside

Levels = Annotated[tuple[float, float], Rising(True), "e.g. [0,255]"]


@pytest.mark.parametrize(
    ("value", "hint", "allowed"),
    [
        (1.5, Fraction, "more than 0 and less than 1, e.g. 0.5"),
        (1, Annotated[Fraction, "e.g. 0.75"] | None, "more than 0 and less than 1, e.g. 0.75"),
        (float("nan"), Share, "at least 0 and at most 1"),
        (0, Count, "at least 1"),
        (2**40, Count, "at least 1 and less than 2147483648"),
        ([4, 0], Counts, "1 or more numbers, each at least 1"),
        ([], Counts, "1 or more numbers"),
        ([3], Size, "2 values"),
        ([0, 4], Size, "numbers, each at least 1"),
        ((2, 1), Span, "rising numbers, e.g. [0.75,1.3333]"),
        ([0, 1], Span, "rising numbers, each more than 0, e.g. [0.75,1.3333]"),
        ([5, 5], Levels, "rising numbers, e.g. [0,255]"),
        ({"a": 0}, dict[str, Count], "numbers, each at least 1"),
    ],
)
def test_what_lies_outside_is_refused_with_what_is_allowed(value, hint, allowed):
    given = list(value) if isinstance(value, tuple) else value
    with pytest.raises(ValueError, match="does not fit") as said:
        refuse_outside("part.number", value, hint)
    assert str(said.value) == f"part.number={given!r} does not fit; it should be {allowed}"


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (0.5, Fraction),
        (1, Share),
        (None, Count | None),
        (7, Counts),
        ([1, 2], Counts),
        ((1, 1), Span),
        ([0, 5], Levels),
        ("image", Levels | str),
        (object(), Fraction),
        (True, Count),
    ],
)
def test_what_lies_inside_or_is_no_number_is_let_through(value, hint):
    refuse_outside("number", value, hint)


@given(st.floats(-2, 2))
def test_a_config_and_a_constructor_refuse_the_same_numbers_in_the_same_words(ratio):
    said = []
    for name, refuse in (
        ("ThrownParts.throw_ratio", lambda: ThrownParts(3, throw_ratio=ratio)),
        ("x", lambda: check_value("x", ratio, ThrownParts.__init__.__annotations__["throw_ratio"])),
    ):
        try:
            refuse()
        except ValueError as error:
            said.append(str(error).removeprefix(name))
    assert len(said) == (0 if 0 < ratio < 1 else 2)
    assert len(set(said)) <= 1


class Part:
    @in_range
    def __init__(self, count: Count, share: Share = 7.0):
        self.count, self.share = count, share


def test_what_is_given_is_held_against_the_signature_by_place_and_by_name():
    assert Part(2).share == 7.0  # a default is the author's
    for wrong in (lambda: Part(0), lambda: Part(count=0), lambda: Part(1, 2.0)):
        with pytest.raises(ValueError, match=r"Part\.(count=0|share=2\.0) does not fit"):
            wrong()
    with pytest.raises(TypeError, match="count"):
        Part()


def test_text_in_the_place_of_a_list_or_a_number_is_told_what_belongs_there():
    with pytest.raises(ValueError, match=r"x='a' .* it should be a list or a valid integer$"):
        check_value("x", "a", Count | Sequence[str])
