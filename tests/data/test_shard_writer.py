"""Shards that are written, and read again."""

import io
import tarfile

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from mim.augment.no_augment import NoAugment
from mim.data import shard_index
from mim.data.image_folder import ImageFolder
from mim.data.shard_writer import Shape, write_shards
from mim.data.webdataset import WebDataset

SETTINGS = {"image_size": 16, "batch_size": 4, "num_workers": 0}


@pytest.fixture
def splits(pictures):
    """Class folders of small JPEGs, seven for training and three held out."""
    for name, count in (("train/cat", 4), ("train/dog", 3), ("val/cat", 2), ("val/dog", 1)):
        root = pictures(name, count, size=24)
    data = ImageFolder(str(root), NoAugment(), **SETTINGS)
    data.setup()
    return data.splits


def read(root):
    data = WebDataset(str(root), NoAugment(), **SETTINGS)
    data.setup()
    return data


def test_shards_hold_what_the_folder_holds_and_are_opened_by_their_index(
    splits, tmp_path, monkeypatch
):
    made = write_shards(splits, tmp_path / "out", Shape(64, per_shard=3), "here")
    assert [shard.name for shard in made.shards] == [
        *(f"train-00000{i}.tar" for i in range(3)),
        "val-000000.tar",
    ]
    assert (made.pictures, made.already) == (10, 0)
    monkeypatch.setattr(shard_index, "contents_of", lambda shard: pytest.fail("headers were read"))
    data = read(tmp_path / "out")
    assert (data.classes, data.train_size, len(data.splits.val)) == (["cat", "dog"], 7, 3)
    theirs = {
        int(number): splits.train.files for number in [*splits.train.numbers, *splits.val.numbers]
    }
    for part in (data.splits.train, data.splits.val):
        for number, label in zip(part.numbers.tolist(), part.label.tolist(), strict=True):
            source = int(part.files.path(number).rpartition("/")[2].partition(".")[0])
            # small: copied
            assert torch.equal(part.files.content(number), theirs[source].content(source))
            assert label == int(theirs[source].label[source])


def test_large_pictures_are_resized_once_by_their_short_side(tmp_path):
    ramp = np.linspace(0, 255, 400, dtype=np.uint8)[None, :, None].repeat(100, 0).repeat(3, 2)
    for number in range(3):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(ramp).save(tmp_path / "in" / f"{number}.png")
    data = ImageFolder(str(tmp_path / "in"), NoAugment(), **SETTINGS)
    data.setup()
    for kind, worst in (("png", 0), ("jpg", 3)):
        write_shards(data.splits, tmp_path / kind, Shape(50, format=kind), "here")
        files = read(tmp_path / kind).splits.train.files
        assert files.path(0).endswith(kind)
        expected = torch.from_numpy(
            np.asarray(Image.fromarray(ramp).resize((200, 50), Image.Resampling.BICUBIC))
        )
        assert files.read(0).shape == (3, 50, 200)
        assert (files.read(0).int() - expected.permute(2, 0, 1)).abs().max() <= worst + 1


@pytest.mark.parametrize("size", [6, 12])
def test_sixteen_bits_of_grey_stay_sixteen(tmp_path, size):
    ramp = np.linspace(0, 65535, 12 * 12).round().astype(np.uint16).reshape(12, 12)
    for number in range(2):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(ramp).save(tmp_path / "in" / f"{number}.png")
    data = ImageFolder(str(tmp_path / "in"), NoAugment(), **SETTINGS, channels=1)
    data.setup()
    write_shards(data.splits, tmp_path / "out", Shape(size), "here")
    files = read(tmp_path / "out").splits.train.files
    found = np.asarray(Image.open(io.BytesIO(files.content(0).numpy().tobytes())))
    assert (found.dtype, found.shape) == (np.uint16, (size, size))
    assert np.unique(found).size > 2 * size


def test_colours_of_sixteen_bits_are_written_with_eight_and_that_is_said(tmp_path):
    ramp = np.linspace(0, 65535, 3 * 144).round().astype(np.uint16).reshape(12, 12, 3)
    (tmp_path / "in").mkdir()
    for number in range(2):
        tifffile.imwrite(tmp_path / f"in/{number}.tif", ramp, photometric="rgb")
    data = ImageFolder(str(tmp_path / "in"), NoAugment(), **SETTINGS)
    data.setup()
    with pytest.warns(UserWarning, match="colours of 16 bits are written with 8; train on"):
        write_shards(data.splits, tmp_path / "out", Shape(12, format="png"), "here")
    image = read(tmp_path / "out").splits.train.files.read(0)
    assert torch.equal(image, torch.from_numpy((ramp / 257).round()).permute(2, 0, 1).byte())


def test_a_second_call_goes_on_and_another_shape_is_refused(splits, tmp_path):
    out, shape = tmp_path / "out", Shape(64, per_shard=3)
    first = write_shards(splits, out, shape, "here")
    before = {shard: shard.read_bytes() for shard in first.shards}
    first.shards[1].unlink()
    again = write_shards(splits, out, shape, "here")
    assert (again.already, again.pictures) == (3, 10)
    assert {shard: shard.read_bytes() for shard in again.shards} == before
    with pytest.raises(
        ValueError, match=r"holds other shards \(size, quality differ\); give a new folder"
    ):
        write_shards(splits, out, Shape(32, 90, per_shard=3), "here")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty; give a new folder"):
        write_shards(splits, tmp_path / "full", shape, "here")


@pytest.mark.filterwarnings("ignore:skipped")
def test_a_broken_picture_is_left_out_and_too_many_stop(splits, tmp_path):
    broken = splits.train.files.path(0)
    with open(broken, "wb") as stream:
        stream.write(b"no picture")
    assert write_shards(splits, tmp_path / "out", Shape(64), "here").pictures == 9
    for number in (1, 2):
        with open(splits.train.files.path(number), "wb") as stream:
            stream.write(b"no picture")
    with pytest.raises(ValueError, match="3 of 10 pictures cannot be read"):
        write_shards(splits, tmp_path / "other", Shape(64), "here")


def test_what_shards_cannot_hold_is_one_line(tmp_path):
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", np.zeros((13, 16, 16), np.uint8))
    data = ImageFolder(str(tmp_path), NoAugment(), **SETTINGS, channels=13)
    data.setup()
    with pytest.raises(
        ValueError, match=r"has 13 channels of uint8; shards hold 8 bits of 1, 3 or 4 channels"
    ):
        write_shards(data.splits, tmp_path / "out", Shape(8), "here")


def test_an_index_of_other_shards_is_not_believed(splits, tmp_path):
    out = tmp_path / "out"
    write_shards(splits, out, Shape(64, per_shard=4), "here")
    with tarfile.open(out / "val-000000.tar", "a") as tar:
        member = tarfile.TarInfo("999.jpg")
        content = splits.train.files.content(0).numpy().tobytes()
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
        number = tarfile.TarInfo("999.cls")
        number.size = 1
        tar.addfile(number, io.BytesIO(b"0"))
    assert len(read(out).splits.val) == 4
    (out / "index.npz").write_bytes(b"no index")
    assert len(read(out).splits.val) == 4
