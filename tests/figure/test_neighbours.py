"""Nearest neighbours in features."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import mim
from mim.__main__ import main
from mim.command import neighbours
from mim.figure.neighbours import HEADER, Neighbours, nearest, neighbours_figure


def test_neighbours_are_those_of_the_cosine_and_never_the_image_itself():
    random = torch.Generator().manual_seed(0)
    asked, known = (torch.randn(count, 8, generator=random) for count in (3, 20))
    known[5], known[11] = asked[0] * 3, -asked[1]
    number, similarity = nearest(asked, known, 4, [None, 11, 2])
    assert (number[0, 0], similarity[0, 0].item()) == (5, pytest.approx(1))
    every = torch.cosine_similarity(asked[:, None], known[None], dim=2)
    assert torch.allclose(similarity, every.gather(1, number), atol=1e-6)
    assert number[0].tolist() == every[0].argsort(descending=True)[:4].tolist()
    assert 2 not in number[2]
    assert nearest(asked, known, 4, [5, None, None])[0][0, 0] != 5
    assert nearest(asked, known, 20, [None] * 3)[0].shape == (3, 20)
    with pytest.raises(ValueError, match="--count=20: 19 pictures are searched; give that at most"):
        nearest(asked, known, 20, [None, 11, 2])


def test_each_row_of_the_figure_is_a_query_of_a_checkpoint_and_the_table_has_every_neighbour():
    images = torch.rand(2, 3, 8, 8)
    number = torch.tensor([[4, 2], [2, 9]])
    found = [Neighbours(name, number, torch.tensor([[0.5, 0.25], [1, 0]])) for name in "AB"]
    pictures, paths = (
        {4: images[0], 2: images[1], 9: images[0]},
        dict.fromkeys((2, 4, 9), ("p", "")),
    )
    drawn = neighbours_figure(images, ["x", "y"], found, pictures, paths | {9: ("nine", "cat")})
    assert len(drawn.figure.axes) == 4 * 3
    assert [axis.get_title() for axis in drawn.figure.axes[:3]] == ["", "0.50", "0.25"]
    assert [axis.get_ylabel() for axis in drawn.figure.axes[::3]] == ["A", "B", "A", "B"]
    last = dict(zip(HEADER, drawn.rows[-1], strict=True))
    assert last == dict(zip(HEADER, ("y", "B", 2, "nine", "cat", 0.0), strict=True))


def test_the_command_draws_what_features_say(checkpoint_folder, tmp_path, capsys):
    folder = checkpoint_folder("first")
    (tmp_path / "photos" / "dark").mkdir(parents=True)
    for number, light in enumerate((0, 10, 20, 200, 210, 220)):
        noise = np.random.default_rng(number).integers(0, 10, (40, 36, 3), dtype=np.uint8)
        place = "photos/dark" if light < 100 else "photos"
        Image.fromarray(noise + np.uint8(light)).save(tmp_path / place / f"{number}.png")
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    out, photos = tmp_path / "a.png", tmp_path / "photos"
    command = ["figure", "neighbours", folder, "--among", photos, "--count", 2, "--out", out]
    query = photos / "dark" / "0.png"
    with pytest.warns(UserWarning, match="skipped .*broken.png"):
        assert main([*map(str, command), "--files", str(query)]) == 0
    assert "the 2 nearest neighbours of 1 image(s)" in capsys.readouterr().out
    with out.with_suffix(".csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    files = sorted(file for file in photos.rglob("*.png") if file.stem != "broken")
    feature = mim.features(mim.load(folder), files)
    every = torch.cosine_similarity(feature[files.index(query)], feature)
    every[files.index(query)] = -1
    assert [row["neighbour"] for row in rows] == [str(files[n]) for n in every.topk(2).indices]
    assert [float(row["similarity"]) for row in rows] == pytest.approx(
        every.topk(2).values.tolist()
    )


def test_images_of_the_set_itself_are_encoded_once(checkpoint_folder, tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 255, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.png")
    encoded, features = [], neighbours._features
    monkeypatch.setattr(
        neighbours,
        "_features",
        lambda *given: encoded.extend(given[2].tolist()) or features(*given),
    )
    folder, out = checkpoint_folder("first"), tmp_path / "a.png"
    command = ["figure", "neighbours", folder, "--among", photos, "--rows", 3, 1, 3, "--count", 2]
    assert main([*map(str, command), "--out", str(out)]) == 0
    assert encoded == [0, 1, 2, 3]
    with out.with_suffix(".csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    files = [photos / f"{number}.png" for number in range(4)]
    feature = mim.features(mim.load(folder), files)
    similarity = torch.cosine_similarity(feature[:, None], feature, dim=2).fill_diagonal_(-1)
    wanted = [str(files[n]) for row in (3, 1, 3) for n in similarity[row].topk(2).indices]
    assert [row["neighbour"] for row in rows] == wanted


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--among", "nowhere"], "there is no nowhere; give a folder of pictures, or files"),
        (["--among", ".", "--files", "no.jpg"], "there is no no.jpg"),
        (["--count", "0"], "--count=0; needs 1 at least"),
        (["--among", "data=digits", "--rows", "450"], "--rows=450: there are 450 images, from 0"),
        (["--among", "data=digits", "--count", "450"], "--count=450: 449 pictures are searched"),
    ],
)
def test_what_cannot_be_searched_is_one_line(checkpoint_folder, capsys, more, message):
    assert main(["figure", "neighbours", str(checkpoint_folder("first")), *more]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
