"""Weights and pictures that are not there are refused before anything is opened, and nothing else
is.
"""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from mim.launch.there import (
    DOWNLOADED,
    SAVED,
    previous_of,
    refuse_missing,
    refuse_missing_folder,
    refuse_missing_pictures,
)


def test_what_is_there_or_elsewhere_is_left_to_who_opens_it(tmp_path):
    file = tmp_path / "a.ckpt"
    file.touch()
    replaced = tmp_path / "b.ckpt"
    previous_of(replaced).touch()
    refuse_missing([file, replaced, "timm:some.thing", "hf:some/thing"])


@pytest.mark.parametrize(
    "held", ["checkpoints/last.ckpt", "checkpoints/.last.ckpt.previous", ".metadata", *SAVED]
)
def test_a_folder_of_weights_is_left_to_who_opens_it(tmp_path, held):
    (tmp_path / held).parent.mkdir(exist_ok=True)
    (tmp_path / held).touch()
    refuse_missing([str(tmp_path), f"teacher:{tmp_path}"])


def test_a_folder_without_weights_is_named_and_the_newest_run_in_it(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"holds no checkpoints/last\.ckpt; .* or a \.ckpt file$"
    ):
        refuse_missing([tmp_path])
    for run in ("b/2026-01-01", "a/2026-01-02", "a/2026-01-03"):
        (tmp_path / run / "checkpoints").mkdir(parents=True)
    for run in ("b/2026-01-01", "a/2026-01-02"):
        (tmp_path / run / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(FileNotFoundError, match=r"the newest run in it is .*/a/2026-01-02$"):
        refuse_missing([tmp_path])
    with pytest.raises(FileNotFoundError, match=r"the newest run in it is .*/b/2026-01-01$"):
        refuse_missing([f"teacher:{tmp_path / 'b'}"])


@pytest.mark.parametrize("name", ["nowhere", "teacher:nowhere", "other:nowhere"])
def test_what_is_not_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=rf"^there is no {name.removeprefix('teacher:')}; give a run folder"
    ):
        refuse_missing(["timm:some.thing", name])


@pytest.mark.parametrize(
    "module", ["image_folder.ImageFolder", "webdataset.WebDataset", "coco.Coco"]
)
def test_a_folder_of_pictures_that_is_not_there_is_named(tmp_path, module):
    settings = {"_target_": f"mim.data.{module}", "root": str(tmp_path / "nowhere\n")}
    with pytest.raises(
        FileNotFoundError, match=r"^data\.root=.*nowhere\\n is not a folder; point it at pictures"
    ):
        refuse_missing_folder(settings)
    refuse_missing_folder(settings | {"root": str(tmp_path)})


def test_folders_of_what_is_downloaded_or_of_a_class_of_ones_own_are_left_to_it(tmp_path):
    nowhere = str(tmp_path / "nowhere")
    refuse_missing_folder({"_target_": "mim.data.cifar.CIFAR10", "root": nowhere})
    refuse_missing_folder({"_target_": "my_parts.Stripes", "root": nowhere})
    refuse_missing_folder({"root": nowhere})  # the class is the checkpoint's
    refuse_missing_folder({})


def test_modules_that_download_are_those_that_fetch():
    folder = Path(find_spec("mim.data").submodule_search_locations[0])
    fetching = {
        file.stem
        for file in folder.glob("*.py")
        if re.search(r"download=True|download_and_extract", file.read_text())
    }
    assert fetching == set(DOWNLOADED)


def test_pictures_that_are_not_there_are_named_and_settings_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").touch()
    refuse_missing_pictures(["a.jpg", tmp_path])
    refuse_missing_pictures(["data=own", "data.root=nowhere", "epochs=3"])
    with pytest.raises(
        FileNotFoundError, match=r"^there is no b\.jpg; give a folder of pictures, or files"
    ):
        refuse_missing_pictures(["a.jpg", "b.jpg"])
