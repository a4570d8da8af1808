"""`python -m mim shards`: what it writes can be trained on by the command that it names."""

import numpy as np
import pytest
from PIL import Image

from mim.__main__ import main


@pytest.fixture
def photos(tmp_path):
    for number in range(6):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


def test_it_writes_a_folder_and_says_how_to_train_on_it(photos, tmp_path, capsys, composed_command):
    out = tmp_path / "out"
    assert main(["shards", str(photos), "--size", "20", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"wrote         {out}: 6 pictures in 2 shards" in said
    assert (out / "classes.txt").read_text() == "cat\ndog\n"
    composed_command(
        said.splitlines()[-1]
        .removeprefix("to type       ")
        .replace("python -m mim train", "python train.py")
    )
    assert main(["shards", str(photos), "--size", "20", "--out", str(out)]) == 0
    assert "2 shards were there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "4"], "--size=4; needs 8 to 8,192"),
        (["--size", "20", "--quality", "0"], "--quality=0; needs 1 to 100"),
        (["--size", "20", "--per-shard", "0"], "--per-shard=0; needs 1 to"),
    ],
)
def test_numbers_out_of_bounds_are_one_line(photos, tmp_path, capsys, arguments, said):
    assert main(["shards", str(photos), "--out", str(tmp_path / "out"), *arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_data_set_in_memory_is_refused(tmp_path, capsys):
    assert main(["shards", "data=digits", "--size", "20", "--out", str(tmp_path / "out")]) == 1
    assert "shards are made of picture files" in capsys.readouterr().err
