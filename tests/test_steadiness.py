"""Tests are the same in every run, whatever ran before them in the same process."""

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st


def drawn() -> list[int]:
    seen = []

    @settings(max_examples=200, database=None)
    @given(st.integers())
    def draw(number):
        seen.append(number)

    draw()
    return seen


def test_examples_do_not_depend_on_what_was_imported(tmp_path, monkeypatch):
    before = drawn()
    (tmp_path / "more.py").write_text(f"NUMBERS = {list(range(1_000_000, 1_000_500))}")
    spec = spec_from_file_location("more", tmp_path / "more.py")
    monkeypatch.setitem(sys.modules, "more", module_from_spec(spec))
    assert drawn() == before


@pytest.mark.parametrize("command", ["first", "second"])
def test_products_are_as_precise_as_can_be_also_after_a_command(command):
    assert torch.get_float32_matmul_precision() == "highest"
    torch.set_float32_matmul_precision("high")  # as train.py does


def test_what_is_set_up_for_all_tests_is_set_up_once():
    """Imported by name it would run again, and undo `--hypothesis-profile`."""
    whole = re.compile(r"^\s*(from tests\.conftest import|import tests\.conftest)", re.MULTILINE)
    files = Path(__file__).parent.rglob("*.py")
    assert [file for file in files if whole.search(file.read_text())] == []
