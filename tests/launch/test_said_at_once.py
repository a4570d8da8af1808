"""What only says something imports no torch, and says what whoever opens it would say."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from mim.data.csv import Csv
from mim.data.hf_splits import open_splits
from mim.encoder.vit import ViT
from mim.launch.entry import _check_patches
from mim.launch.there import refuse_missing_folder

COMMANDS = [
    ["figure", "epochs", "nowhere"],
    ["figure", "neighbours", "timm:a", "--among", "nowhere"],
    ["statistics", "data=cifra10"],
    ["embed", "nowhere", "photos", "--out", "a.npz"],
]


def test_mistakes_are_said_without_torch():
    script = (
        "import sys; from mim.__main__ import main; import mim.launch.entry; "
        f"assert [main(each) for each in {COMMANDS}] == [1] * {len(COMMANDS)}; "
        "assert not {'torch', 'timm'} & sys.modules.keys()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], check=True, timeout=120, capture_output=True, text=True
    )
    assert [line.partition(";")[0] for line in ran.stderr.splitlines()] == [
        "error: there is no folder nowhere",
        "error: there is no nowhere",
        "error: data=cifra10 is not a choice",
        "error: there is no nowhere",
    ]


def same_words(early, late):
    with pytest.raises((FileNotFoundError, ValueError)) as said:
        late()
    with pytest.raises(type(said.value)) as first:
        early()
    assert str(first.value) == str(said.value)


@pytest.mark.parametrize("root", [None, "."])
def test_a_table_that_is_not_there_is_refused_in_the_words_of_its_data_set(root):
    settings = {"_target_": "mim.data.csv.Csv", "root": root, "table": "nowhere.csv"}
    data = Csv(None, 32, 4, root=root, table="nowhere.csv")
    same_words(lambda: refuse_missing_folder(settings), data.load)


def test_a_table_that_is_there_is_let_through(tmp_path):
    (tmp_path / "a.csv").touch()
    target = {"_target_": "mim.data.csv.Csv"}
    refuse_missing_folder(target | {"root": str(tmp_path), "table": "a.csv"})
    refuse_missing_folder(target | {"root": None, "table": str(tmp_path / "a.csv")})
    refuse_missing_folder({"_target_": "mim.data.hf.HF", "name": "a/b"})
    refuse_missing_folder({"_target_": "mim.data.hf.HF", "name": str(tmp_path)})


def test_a_set_of_hugging_face_needs_a_name_and_a_file_that_is_there():
    target = {"_target_": "mim.data.hf.HF", "name": None}
    same_words(lambda: refuse_missing_folder(target), lambda: open_splits(None, None, None))
    with pytest.raises(
        FileNotFoundError, match=r"data\.name=/no/x\.parquet is no file; give a name"
    ):
        refuse_missing_folder(target | {"name": "/no/x.parquet"})


def test_heads_that_do_not_divide_the_width_are_refused_in_the_words_of_the_encoder():
    sizes = {"image_size": 32, "patch_size": 8, "width": 8, "depth": 1, "heads": 3}
    settings = OmegaConf.create({"_target_": "mim.encoder.vit.ViT"} | sizes)
    same_words(lambda: _check_patches(settings), lambda: ViT(**sizes))
