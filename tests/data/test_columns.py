"""What a table's words say: parts, classes, and one line where they do not say it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mim.data.class_labels import classes_of
from mim.data.columns import LABELS, PATHS, Parts, named_column, parts_of


def parts(names, rows, **settings):
    made = parts_of(names, torch.tensor([names.index(row) for row in rows]), **settings)
    return made.train.tolist(), made.val.tolist(), made.words


def classes(values, train=None, val=()):
    train = [row for row in range(len(values)) if row not in val] if train is None else train
    return classes_of(
        values, Parts(torch.tensor(train), torch.tensor(list(val)).long(), ""), "row {}".format
    )


def test_words_say_which_rows_are_for_what():
    rows = ["train", "valid", "train", "test"]
    assert parts(["test", "train", "valid"], rows) == (
        [0, 2],
        [1],
        "train is trained on, valid is held out; not used: test",
    )
    assert parts(["test", "train"], ["train", "test", "train"])[:2] == ([0, 2], [1])
    assert parts(["1", "2", "3"], ["1", "2", "3", "1"], val="2")[:2] == ([0, 2, 3], [1])
    assert parts(["1", "2", "3"], ["1", "2", "3", "1"], train="1", val="2")[:2] == ([0, 3], [1])
    assert parts(["test", "train", "valid"], rows, only_judged=True)[:2] == ([1], [1])
    assert parts([""], [""] * 3, only_judged=True)[:2] == ([0, 1, 2], [0, 1, 2])


@given(st.integers(2, 60), st.floats(0.05, 0.6))
def test_a_share_is_held_out_where_nothing_says_which(count, share):
    train, val, words = parts(["", "other"], [""] * count, train="", held_out=share)
    assert sorted(train + val) == list(range(count))
    assert len(val) == max(1, int(count * share))
    assert "a share of it is held out" in words


def test_the_same_part_for_both_holds_out_a_share_of_it():
    train, val, _ = parts(["a", "b"], ["a"] * 10 + ["b"], train="a", val="a", held_out=0.2)
    assert (len(train), len(val), 10 in train + val) == (8, 2, False)


@pytest.mark.parametrize(
    ("names", "settings", "said"),
    [
        (["a", "b"], {}, "none says that it is for training; name it, data.train=a"),
        (["a", "b"], {"val": "c"}, r"data\.val=c is no part of the table; it has a, b"),
        (["train_a", "train_b"], {}, r"may all be meant; say which one: data\.train=train_a"),
        (["val", "other"], {}, "none says that it is for training"),
    ],
)
def test_parts_that_nothing_says_are_one_line(names, settings, said):
    with pytest.raises(ValueError, match=said):
        parts(names, names, **settings)


def test_words_are_classes_in_their_order_and_numbers_are_themselves():
    names, label = classes(["dog", "cat", "dog", "cat"], val=[3])
    assert (names, label.tolist()) == (["cat", "dog"], [1, 0, 1, 0])
    names, label = classes([2, "0", 3], val=[1])
    assert (names, label.tolist()) == (["0", "1", "2", "3"], [2, 0, 3])
    assert classes([None, "", -1, float("nan")])[0] == []
    names, label = classes(["cat", "dog", None], train=[0, 1])
    assert (names, label.tolist()) == (["cat", "dog"], [0, 1, -1])  # of no part, so it needs none


@pytest.mark.parametrize(
    ("values", "val", "said"),
    [
        (
            ["cat", "", "dog"],
            [],
            "1 of 3 rows have no label, such as row 1; .* data.label_column=none",
        ),
        (["0.5", "1.5"], [], r"the label of row 0 is 0\.5, a measurement and no class"),
        (
            ["cat", "dog", "owl"],
            [2],
            r"1 rows that are held out have classes .* such as row 2: owl",
        ),
        ([0, 10**9], [], "the label of row 1 is class 1,000,000,000"),
    ],
)
def test_labels_that_are_no_classes_are_one_line(values, val, said):
    with pytest.raises(ValueError, match=said):
        classes(values, val=val)


def test_a_column_is_found_by_its_name_and_several_ask_for_a_choice():
    assert named_column("path_column", None, ["id", "image", "label"], PATHS) == "image"
    assert named_column("label_column", None, ["colour", "main_label"], LABELS) == "main_label"
    assert named_column("label_column", None, ["label", "other_label"], LABELS) == "label"
    assert named_column("label_column", "none", ["label"], LABELS) is None
    assert named_column("label_column", None, ["a", "b"], LABELS) is None
    with pytest.raises(
        ValueError,
        match=r"2 columns that data\.label_column may mean: fine_label, coarse_label; choose one",
    ):
        named_column("label_column", None, ["fine_label", "coarse_label"], LABELS)
    with pytest.raises(
        ValueError, match=r"data\.label_column=x is no column of the table; it has a, b"
    ):
        named_column("label_column", "x", ["a", "b"], LABELS)
