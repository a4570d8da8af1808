"""A feature cache whose two files do not agree is made anew."""

import json

import pytest
import torch

from mim.evaluate.column import Column


@pytest.fixture
def column(tmp_path):
    column = Column(tmp_path / "features", torch.float32)
    column.append(torch.ones(6, 4))
    column.finish()
    return column


def test_what_was_written_is_opened(column):
    assert column.holds(6)
    assert not column.holds(7)
    assert column.open().shape == (6, 4)


@pytest.mark.parametrize(
    "about",
    [
        "[6, 5]",
        "[5, 4]",
        "[600000000000, 4]",
        "[-6, -4]",
        "[]",
        "{}",
        "24",
        "[6.0, 4]",
        "[true, 24]",
        '["6", 4]',
        "null",
        "no",
        "[" * 10**5,
    ],
)
def test_a_wrong_count_is_no_cache(column, about):
    column.about.write_text(about)
    assert not any(column.holds(count) for count in (5, 6, 1, 24))
    with pytest.raises(ValueError, match="do not agree; remove both"):
        column.open()


def test_a_cut_file_is_no_cache(column):
    column.file.write_bytes(column.file.read_bytes()[:-1])
    assert not column.holds(6)
    assert json.loads(column.about.read_text()) == [6, 4]
