"""Nothing is looked for while large libraries are imported, and everything afterwards."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mim.launch.entry import launch
from mim.launch.imports import without_collection


@pytest.fixture
def nothing_frozen() -> Iterator[None]:
    """As in a process of a user's: the tests freeze what they have imported."""
    gc.unfreeze()
    yield
    gc.freeze()


def test_it_is_off_inside_and_on_again_also_after_an_error():
    assert gc.isenabled()
    with without_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), without_collection():
        raise ImportError
    assert gc.isenabled()


def test_who_has_it_off_keeps_it_off():
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_command_imports_its_work_so(tmp_path, monkeypatch, signals, capsys):
    """And collects again while it works."""
    work = "import gc\nwas = gc.isenabled()\n"
    work += "def run(cfg):\n    print('collects', was, gc.isenabled())\n"
    (tmp_path / "work_of_ours.py").write_text(work)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MIM_RUNS", str(tmp_path))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", ["train.py", "trainer=cpu"])
    with pytest.raises(SystemExit) as stop:
        launch("work_of_ours.run", Path(__file__).parents[2] / "configs", "train")
    assert stop.value.code == 0
    assert "collects False True" in capsys.readouterr().out


def test_what_was_imported_is_old_and_stays_collectable(nothing_frozen):
    with without_collection():
        made = [[number] for number in range(5000)]
    young = {id(each) for each in gc.get_objects(generation=0)}
    assert not young & {id(each) for each in made}
    assert gc.get_freeze_count() == 0


def test_what_a_sweep_has_frozen_stays_so(nothing_frozen):
    gc.freeze()
    with without_collection():
        pass
    assert gc.get_freeze_count() > 1000
