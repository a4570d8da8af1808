"""Data that a run was trained on are told from others."""

import pytest

from mim.weights.own_data import is_trained_on
from mim.weights.weights import Weights

FOLDER = {"_target_": "mim.data.image_folder.ImageFolder", "root": "photos", "held_out": None}
TABLE = {"_target_": "mim.data.csv.CsvTable", "root": None, "table": "a.csv", "train": "1"}


def run(**data):
    return Weights({}, "a run", {"data": data} if data else None)


@pytest.mark.parametrize("own", [FOLDER, TABLE])
def test_the_same_place_split_alike_is_what_it_was_trained_on(tmp_path, monkeypatch, own):
    monkeypatch.chdir(tmp_path)
    place = "root" if own is FOLDER else "table"
    assert is_trained_on(run(**own), own | {"batch_size": 3})
    assert is_trained_on(run(**own), own | {place: str(tmp_path / own[place])})


@pytest.mark.parametrize(
    "change",
    [{"root": "others"}, {"held_out": 0.5}, {"seed": 3}, {"_target_": "mim.data.csv.CsvTable"}],
)
def test_another_place_or_another_split_is_not(change):
    assert not is_trained_on(run(**FOLDER), FOLDER | change)
    assert not is_trained_on(run(), FOLDER)
