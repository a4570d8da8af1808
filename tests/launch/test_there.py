"""Weights that are not there are refused before anything is opened, and nothing else is."""

import pytest

from mim.launch.there import previous_of, refuse_missing


def test_what_is_there_or_elsewhere_is_left_to_who_opens_it(tmp_path):
    run, file = tmp_path / "run", tmp_path / "a.ckpt"
    run.mkdir()
    file.touch()
    replaced = tmp_path / "b.ckpt"
    previous_of(replaced).touch()
    refuse_missing([str(run), file, f"teacher:{run}", replaced, "timm:some.thing", "hf:some/thing"])


@pytest.mark.parametrize("name", ["nowhere", "teacher:nowhere", "other:nowhere"])
def test_what_is_not_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"^there is no {name.removeprefix('teacher:')}; give a run folder"):
        refuse_missing(["timm:some.thing", name])
