"""`python -m mim embed`: a row a picture, in any format, going on where it was stopped."""

import csv
import json

import numpy as np
import pytest
import torch
from pyarrow import parquet

import mim
from mim.__main__ import main
from mim.door import embed as embed_module
from mim.door.embed import embed
from mim.door.features import Embedder
from mim.door.sources import source_of


@pytest.fixture
def command(checkpoint, capsys):
    def run(*arguments):
        code = main(["embed", str(checkpoint), *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def files(photos):
    return [str(file) for file in sorted(photos.rglob("*.png"))]


def test_a_row_a_picture_with_its_path_and_label(command, checkpoint, photos, files, tmp_path):
    code, out, err = command(photos, "--out", tmp_path / "a.npz", "--workers", 0)
    assert code == 0, err
    assert "a.npz: 6 rows" in out
    with np.load(tmp_path / "a.npz") as table:
        assert table["path"].tolist() == files
        assert table["label"].tolist() == ["cat"] * 3 + ["dog"] * 3
        expected = mim.features(mim.load(checkpoint), photos, workers=0)
        torch.testing.assert_close(torch.from_numpy(table["feature"]), expected)
        about = json.loads(table["about"].item())
    assert (about["pool"], about["block"], about["images"]["mean"]) == ("mean", 2, [0.1, 0.2, 0.3])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "photos", "run"]


def test_every_format_holds_the_same(command, photos, files, tmp_path):
    for end in ("npz", "csv", "parquet"):
        code, _, err = command(
            photos, "--out", tmp_path / f"a.{end}", "--pool", "cls", "--block", 1, "--workers", 0
        )
        assert code == 0, err
    with np.load(tmp_path / "a.npz") as table:
        feature = table["feature"]
    header, *rows = csv.reader((tmp_path / "a.csv").open())
    assert header == ["path", "label", *(f"f{i}" for i in range(16))]
    assert [row[:2] for row in rows] == [[file, file.split("/")[-2]] for file in files]
    assert (np.array([row[2:] for row in rows], np.float32) == feature).all()  # to the last bit
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table["path"].to_pylist() == files
    assert (np.array(table["feature"].to_pylist(), np.float32) == feature).all()
    assert json.loads(table.schema.metadata[b"mim"])["block"] == 1


def test_patches_keep_their_grid(command, checkpoint, photos, tmp_path):
    for end in ("npz", "parquet"):
        assert command(photos, "--out", tmp_path / f"a.{end}", "--patches", "--workers", 0)[0] == 0
    expected = mim.features(mim.load(checkpoint), photos, patches=True, workers=0).numpy()
    with np.load(tmp_path / "a.npz") as table:
        np.testing.assert_allclose(table["feature"], expected, atol=1e-6)
        flat = np.array(
            parquet.read_table(tmp_path / "a.parquet")["feature"].to_pylist(), np.float32
        )
        assert (flat.reshape(expected.shape) == table["feature"]).all()


def test_it_goes_on_where_it_was_stopped(checkpoint, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(embed_module, "PART_BYTES", 1)
    encoder = mim.load(checkpoint)
    source, extract = source_of(photos, encoder.preprocess, workers=0), Embedder(encoder)
    seen = []

    def stopped(image):
        if sum(seen) == 4:
            raise KeyboardInterrupt
        seen.append(len(image))
        return extract(image)

    def counted(image):
        seen.append(len(image))
        return extract(image)

    def make(extract, name="a.npz", key="key"):
        return embed(source, extract, tmp_path / name, key, "", batch_size=2)

    with pytest.raises(KeyboardInterrupt):
        make(stopped)
    assert not (tmp_path / "a.npz").exists()
    seen.clear()
    assert make(counted) == (6, 0, 4)
    assert seen == [2]
    assert make(extract, "b.npz") == (6, 0, 0)
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert (a["feature"] == b["feature"]).all()
        assert (a["path"] == b["path"]).all()

    (tmp_path / "a.npz").unlink()
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        make(stopped)
    assert make(extract, key="of another pool") == (6, 0, 0)  # what was kept is of something else


def test_no_more_than_a_part_is_held(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(embed_module, "PART_BYTES", 4 * 16 * 8)  # eight rows
    encoder = mim.load(checkpoint)
    source = source_of(torch.zeros(100, 3, 32, 32, dtype=torch.uint8), encoder.preprocess)
    held = []
    append = embed_module._Parts.append
    monkeypatch.setattr(
        embed_module._Parts,
        "append",
        lambda self, done, *rows: held.append(len(rows[0])) or append(self, done, *rows),
    )
    made = embed(source, Embedder(encoder), tmp_path / "a.npz", "", "", batch_size=4)
    assert made.rows == sum(held) == 100
    assert max(held) == 8


def test_a_picture_that_cannot_be_read_has_no_row(command, photos, files, tmp_path):
    (photos / "cat" / "1.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="skipped"):
        code, out, err = command(photos, "--out", tmp_path / "a.npz", "--workers", 0)
    assert code == 0, err
    assert "5 rows, 1 could not be read and are left out" in out
    with np.load(tmp_path / "a.npz") as table:
        assert table["path"].tolist() == [file for file in files if not file.endswith("cat/1.png")]


def test_a_data_set_is_embedded_part_by_part(command, tmp_path):
    code, _, err = command("data=digits", "--out", tmp_path / "a.npz")
    assert code == 0, err
    with np.load(tmp_path / "a.npz") as table:
        assert table["path"][:2].tolist() == ["held_out/0", "held_out/1"]
        assert len(table["label"]) == 450
        assert set(table["label"].tolist()) == set("0123456789")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{photos}", "--out", "{tmp}/a.txt"], "ends with none of .csv, .npz, .parquet"),
        (["{photos}", "--out", "{tmp}/photos.npz"], "photos.npz exists already"),
        (["{photos}", "--out", "{tmp}/a.csv", "--patches"], "write them to .npz or .parquet"),
        (["{tmp}/nowhere", "--out", "{tmp}/a.npz"], "there is no"),
        (["{photos}", "--out", "{tmp}/a.npz", "--pool", "maen"], "did you mean 'mean'"),
        (
            ["{photos}", "--out", "{tmp}/a.npz", "--batch-size", "0"],
            "--batch-size=0; needs 1 at least",
        ),
        (
            ["{photos}", "data=digits", "--out", "{tmp}/a.npz"],
            "give a folder, or files, or data=<name>",
        ),
        (["data.root=/x", "--out", "{tmp}/a.npz"], "does not say what it was trained on"),
        (["+data.root=/x", "--out", "{tmp}/a.npz"], "does not say what it was trained on"),
        (["data=own", "--out", "{tmp}/a.npz"], "does not say what it was trained on"),
        (["data=digits", "data.image_size=16", "--out", "{tmp}/a.npz"], "shows images of 16 x 16"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(command, photos, tmp_path, arguments, said):
    (tmp_path / "photos.npz").touch()
    code, _, err = command(*(each.format(photos=photos, tmp=tmp_path) for each in arguments))
    assert code == 1
    assert said in err
    assert err.count("\n") == 1


def test_parquet_without_pyarrow_is_refused_before_anything_is_read(
    command, photos, tmp_path, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    code, _, err = command(photos, "--out", tmp_path / "a.parquet")
    assert code == 1
    assert "needs pyarrow: pip install pyarrow (an extra of ours: parquet)" in err
