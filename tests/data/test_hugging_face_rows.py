"""Data sets of Hugging Face's library: saved on this computer, as nothing is downloaded here."""

import io
import os
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image as Picture

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.no_augment import NoAugment
from mim.data.hf import HF
from mim.data.hf_rows import SetRows
from mim.data.hf_splits import columns_of
from mim.data.image_folder import ImageFolder

LABEL = datasets.Value("int64")
SETTINGS = {"image_size": 16, "batch_size": 2, "num_workers": 0}


def data(name, cache, **settings):
    return HF(NoAugment(), **SETTINGS | {"name": str(name), "cache": str(cache)} | settings)


def rows(folder: Path, **columns):
    """Pictures of a folder with their bytes, class names, and columns more."""
    files = sorted(folder.rglob("*.jpg"))
    names = sorted({file.parent.name for file in files})
    content = {
        "image": [{"bytes": file.read_bytes(), "path": file.name} for file in files],
        "label": [names.index(file.parent.name) for file in files],
        **{name: values[: len(files)] for name, values in columns.items()},
    }
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    return (
        datasets.Dataset.from_dict(content)
        .cast_column("image", kinds["image"])
        .cast_column("label", kinds["label"])
    )


@pytest.fixture
def folder(pictures):
    for name, count in (("train/cat", 4), ("train/dog", 3), ("val/cat", 2), ("val/dog", 1)):
        root = pictures(name, count)
    return root


@pytest.fixture
def saved(folder, tmp_path):
    """Two splits in a folder of the library's own."""
    both = {
        "train": rows(folder / "train", note=["x"] * 9),
        "validation": rows(folder / "val", note=["x"] * 9),
    }
    datasets.DatasetDict(both).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def labels(loader):
    return torch.cat([batch.label for batch in loader]).tolist()


def test_a_saved_set_gives_the_batches_that_a_folder_of_the_same_pictures_gives(
    folder, saved, tmp_path
):
    augment = CropFlip(TorchvisionBoxes())
    ours = HF(augment, **SETTINGS, name=str(saved), cache=str(tmp_path / "cache"))
    theirs = ImageFolder(str(folder), augment, **SETTINGS)
    assert (ours.classes, ours.train_size) == (["cat", "dog"], 7)
    assert ours.words["splits"] == "train is trained on, validation is held out"
    assert ours.words["left out"] == "columns note"
    for loader in ("train_dataloader", "val_dataloader"):
        for a, b in zip(getattr(ours, loader)(), getattr(theirs, loader)(), strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a.tensors, b.tensors, strict=True))


def test_workers_read_rows_as_the_process_itself_does(saved, tmp_path):
    here, there = (data(saved, tmp_path / "cache", num_workers=count) for count in (0, 1))
    for a, b in zip(here.bank_dataloader(), there.bank_dataloader(), strict=True):
        assert torch.equal(a.image, b.image)


def test_a_parquet_file_is_read_and_a_share_of_it_held_out(folder, tmp_path):
    rows(folder / "train").to_parquet(str(tmp_path / "cats.parquet"))
    made = data(tmp_path / "cats.parquet", tmp_path / "cache", held_out=0.3)
    assert (made.classes, made.train_size, len(made.splits.val)) == (["cat", "dog"], 5, 2)
    assert sorted(labels(made.bank_dataloader()) + labels(made.val_dataloader())) == [
        0,
        0,
        0,
        0,
        1,
        1,
        1,
    ]


def test_a_parquet_file_of_another_program_has_bytes_beside_paths(folder, tmp_path):
    ours = rows(folder / "train")
    names = ours.features["label"].names
    stored = ours.cast_column("image", datasets.Image(decode=False))[:]
    table = {"scan": stored["image"], "species": [names[label] for label in stored["label"]]}
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "plain.parquet")
    made = data(tmp_path / "plain.parquet", tmp_path / "cache", label_column="species")
    assert (made.classes, made.train_size, len(made.splits.val)) == (names, 6, 1)
    assert made.splits.train.files.content(0).numpy().tobytes() == stored["image"][0]["bytes"]


@pytest.mark.parametrize("labels", [datasets.List(datasets.Value("int64")), {"a": LABEL}])
def test_several_labels_of_a_picture_are_no_class(labels):
    with pytest.raises(ValueError, match=r"data\.label_column=labels holds no single class"):
        columns_of({"image": datasets.Image(), "labels": labels})
    assert columns_of({"image": datasets.Image(), "labels": LABEL}) == ("image", "labels")


def test_nothing_is_decoded_before_it_is_needed_and_a_broken_row_is_named(folder, tmp_path):
    (folder / "train/cat/002.jpg").write_bytes(b"no picture")
    rows(folder / "train").save_to_disk(str(tmp_path / "one"))
    made = data(tmp_path / "one", tmp_path / "cache", held_out=0.2)
    assert made.classes == ["cat", "dog"]
    with pytest.warns(UserWarning, match=r"skipped \w+/2 \(1 so far\)"):
        labels([*made.bank_dataloader(), *made.val_dataloader()])


def test_all_sixteen_bits_and_other_channels_come_through_as_from_a_file(tmp_path):
    ramp = np.linspace(0, 65535, 12 * 12).round().astype(np.uint16).reshape(12, 12)
    stream = io.BytesIO()
    Picture.fromarray(ramp).save(stream, "PNG")
    content = datasets.Dataset.from_dict({"scan": [stream.getvalue()] * 3}).cast_column(
        "scan", datasets.Image()
    )
    content.save_to_disk(str(tmp_path / "scans"))
    made = data(tmp_path / "scans", tmp_path / "cache", channels=1, image_size=12, resize=12)
    (batch,) = list(made.val_dataloader())
    assert torch.allclose(
        made.splits.val.files.read(0)[0], torch.from_numpy(ramp.astype(np.float32)) / 257, atol=1e-3
    )
    assert batch.image.shape[1] == 1


def test_a_row_opens_no_file_outside_of_its_set(folder, tmp_path):
    picture = folder / "train/cat/000.jpg"
    named = {"image": [{"bytes": None, "path": str(picture)}, {"bytes": b"", "path": None}]}
    features = datasets.Features({"image": datasets.Image(decode=False)})
    splits = {"train": datasets.Dataset.from_dict(named, features=features)}
    assert (
        SetRows(splits, "image", folder=folder).content(0).numpy().tobytes() == picture.read_bytes()
    )
    for outside in (None, folder / "val", picture):
        with pytest.raises(ValueError, match="a path out of a file is not opened"):
            SetRows(splits, "image", folder=outside).content(0)
    with pytest.raises(ValueError, match="it is empty"):
        SetRows(splits, "image").content(1)


def test_several_columns_of_labels_ask_for_a_choice():
    kinds = {
        "image": datasets.Image(),
        "fine": datasets.ClassLabel(2),
        "coarse": datasets.ClassLabel(2),
    }
    features = datasets.Features(kinds | {"text": datasets.Value("string")})
    with pytest.raises(
        ValueError, match=r"2 columns that data\.label_column may mean: fine, coarse"
    ):
        columns_of(features)
    assert columns_of(features, None, "coarse") == ("image", "coarse")
    assert columns_of(features, None, "none") == ("image", None)
    with pytest.raises(
        ValueError,
        match=r"data\.image_column=fine holds no pictures; the columns are image \(Image\)",
    ):
        columns_of(features, "fine", "none")
    with pytest.raises(
        ValueError, match=r"no column of the data set holds pictures; it has note \(Value\)"
    ):
        columns_of(datasets.Features({"note": datasets.Value("string")}))


def test_a_set_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        FileNotFoundError, match=r"data\.name=\S+nothing\.parquet cannot be opened"
    ) as error:
        data(tmp_path / "nothing.parquet", tmp_path).setup()
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"data=hf needs a data set: data\.name="):
        HF(NoAugment(), **SETTINGS).setup()


def test_the_stamp_of_a_row_changes_with_the_files_of_its_set(saved):
    def stamp():
        return SetRows(datasets.load_from_disk(str(saved)), "image").stamp(0)

    before = stamp()
    assert stamp() == before
    for file in saved.glob("train/*.arrow"):
        os.utime(file, (0, 0))
    assert stamp() != before
