"""A feature cache whose two files do not agree, or whose numbers are not those that were written,
is made anew.
"""

import json

import pytest
import torch

from mim.evaluate.array_file import ArrayFile


@pytest.fixture
def column(tmp_path):
    column = ArrayFile(tmp_path / "features", torch.float32)
    column.append(torch.ones(6, 4))
    column.finish()
    return column


def test_what_was_written_is_opened(column):
    assert column.holds(6)
    assert not column.holds(7)
    assert column.open().shape == (6, 4)


SHAPES = (
    *(
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
    ),
    *("[[6, 4]]", '"6, 4"'),
)


@pytest.mark.parametrize(
    "about",
    [
        *(f'{{"shape": {shape}, "checksum": "SUM"}}' for shape in SHAPES),
        "no",
        "[" * 10**5,
        "[6, 4]",
        "{}",
    ],
)
def test_a_wrong_count_is_no_cache(column, about):
    checksum = json.loads(column.about.read_text())["checksum"]
    column.about.write_text(about.replace("SUM", checksum))
    assert not any(column.holds(count) for count in (5, 6, 1, 24))
    with pytest.raises(ValueError, match="do not agree; remove both"):
        column.open()


def test_a_cut_file_is_no_cache(column):
    column.file.write_bytes(column.file.read_bytes()[:-1])
    assert not column.holds(6)
    assert json.loads(column.about.read_text())["shape"] == [6, 4]


@pytest.mark.parametrize("at", [0, 41, 95])
def test_numbers_that_are_not_those_that_were_written_are_no_cache(column, at):
    content = bytearray(column.file.read_bytes())
    content[at] ^= 1
    column.file.write_bytes(content)
    assert not column.holds(6)


def test_nan_in_its_file_is_no_cache(column):
    column.file.write_bytes(torch.full((6, 4), float("nan")).numpy().tobytes())
    assert not column.holds(6)


@pytest.mark.parametrize("checksum", ["null", '""', "3", "[]"])
def test_without_a_checksum_it_is_none(column, checksum):
    column.about.write_text(f'{{"shape": [6, 4], "checksum": {checksum}}}')
    assert not column.holds(6)
    column.about.write_text('{"shape": [6, 4]}')
    assert not column.holds(6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64])
def test_numbers_of_every_kind_come_back(tmp_path, dtype):
    column = ArrayFile(tmp_path / "features", dtype)
    rows = torch.arange(24).view(8, 3).to(dtype)
    for part in rows.split(3):
        column.append(part)
    column.finish()
    assert column.holds(8)
    assert column.open().equal(rows)
