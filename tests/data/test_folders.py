"""Folders of pictures as people have them: splits under many names, programs' folders, stray files,
links.
"""

import os
import shutil

import pytest
import torch
from PIL import Image

from mim.augment.no_augment import NoAugment
from mim.data.folders import find_folders, role
from mim.data.image_folder import ImageFolder


def folder(root, **arguments):
    return ImageFolder(
        str(root), NoAugment(), **{"image_size": 16, "batch_size": 2, "num_workers": 0, **arguments}
    )


def sizes(data):
    return data.train_size, len(data.splits.val), data.classes


@pytest.mark.parametrize(
    ("train", "val"),
    [("train", "val"), ("Training", "Testing"), ("Train", "Test"), ("seg_train", "seg_test"),
     ("train", "valid"),
     ("train", "validation"), ("TRAIN", "TEST"), ("train_set", "test_set"), ("training",
     "Validation"),
     ("trainset", "testset"), ("train-images", "val-images"), ("train2017", "val2017"),
     ("data/train", "data/test"), ("Training Set", "dev"), ("trn", "tst"), ("train", "eval"),
     ("a/b/Training", "a/b/Testing"), ("seg_train/seg_train", "seg_test/seg_test")],
)  # fmt: skip
@pytest.mark.parametrize("programs", [True, False])
def test_splits_are_recognised_by_the_names_that_people_give_them(pictures, train, val, programs):
    for name, count in (
        (f"{train}/cat", 3),
        (f"{train}/dog", 2),
        (f"{val}/cat", 1),
        (f"{val}/dog", 2),
    ):
        root = pictures(name, count)
    if programs:
        for name in (
            "__MACOSX",
            ".ipynb_checkpoints",
            f"{train}/@eaDir",
            f"{train}/.thumbnails",
            f"{val}/__MACOSX/cat",
        ):
            pictures(name, 1)
    data = folder(root)
    assert sizes(data) == (5, 3, ["cat", "dog"])
    assert data.words["folders"] == f"{train}/ is trained on, {val}/ is held out"


def test_of_three_folders_the_one_for_testing_is_named_as_not_used(pictures):
    for name in ("train/cat", "train/dog", "val/cat", "val/dog", "test/cat", "test/dog", "extras"):
        root = pictures(name, 2)
    data = folder(root)
    assert (
        data.words["folders"] == "train/ is trained on, val/ is held out; not used: extras/, test/"
    )
    other = folder(root, val="test")
    other.setup()
    assert (
        other.words["folders"] == "train/ is trained on, test/ is held out; not used: extras/, val/"
    )


@pytest.mark.parametrize(
    "name",
    ["cat", "test_tube", "bullet_train", "train_station", "testa_rossa", "valley", "trän", "A"],
)
def test_a_class_is_no_split(name):
    assert role(name) is None


def test_folders_of_other_names_are_given(pictures):
    for name in ("learn/cat", "learn/dog", "look/cat", "look/dog"):
        root = pictures(name, 2)
    assert sizes(folder(root, train="learn", val="look")) == (4, 4, ["cat", "dog"])
    assert sizes(folder(root, train="learn", held_out=0.25)) == (3, 1, ["cat", "dog"])
    with pytest.raises(
        FileNotFoundError,
        match=r"data\.train=learning is no folder in .*; there are: learn/, look/",
    ):
        folder(root, train="learning").setup()


@pytest.mark.parametrize("name", ["test", "Testing", "seg_test"])
def test_nothing_is_trained_on_a_folder_for_testing(pictures, name):
    for part in ("cat", "dog"):
        pictures(f"{name}/{part}", 4)
        root = pictures(f"other/{part}", 4)
    for data in (folder(root / name), folder(root, train=name)):
        with pytest.raises(
            ValueError, match=rf"{name} says that it is for testing, and nothing is trained on it"
        ):
            data.setup()
    with pytest.raises(
        ValueError,
        match=rf"none that says that it is for training; .* data\.train=\. for all but {name}/",
    ):
        folder(root).setup()
    assert sizes(folder(root, train="other", val=name)) == (8, 8, ["cat", "dog"])


def test_all_but_the_held_out_folder_is_trained_on_where_that_is_said(pictures):
    for name, count in (("cat", 3), ("dog", 2), ("test/cat", 1), ("test/dog", 4)):
        root = pictures(name, count)
    data = folder(root, train=".")
    assert sizes(data) == (5, 5, ["cat", "dog"])


def test_a_class_of_trains_is_asked_about(pictures):
    for name in ("boat", "plane", "train"):
        root = pictures(name, 2)
    with pytest.raises(
        ValueError,
        match=r"holds train/, boat/, plane/: is train/ a class, or for training\? data\.train=\. ",
    ):
        folder(root).setup()
    assert sizes(folder(root, train="."))[2] == ["boat", "plane", "train"]
    assert sizes(folder(root, train="train"))[2] == []


def test_two_folders_of_one_role_are_asked_about(pictures):
    for name in ("trainA", "trainB", "testA"):
        root = pictures(name, 2)
    with pytest.raises(
        ValueError, match=r"holds trainA/, trainB/; say which one it is: data\.train=trainA"
    ):
        folder(root).setup()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_folder_that_is_only_judged_is_judged_whole(pictures, in_memory):
    for name in ("test/cat", "test/dog"):
        root = pictures(name, 20)
    for where in (root, root / "test"):
        data = folder(where, in_memory=in_memory)
        data.only_judged = True
        assert len(data.splits.val) == 40
        assert torch.cat([batch.label for batch in data.val_dataloader()]).bincount().tolist() == [
            20,
            20,
        ]
    share = folder(root / "test", held_out=0.25)
    share.only_judged = True
    assert len(share.splits.val) == 10


def test_a_stray_picture_costs_a_line_and_not_all_labels(pictures):
    for name, count in (("", 2), ("cat", 6), ("dog", 5)):
        root = pictures(name, count)
    (root / "notes.TXT").write_text("which is which")
    (root / "cat" / "README").write_text("")
    (root / "cat" / ".DS_Store").write_text("")
    data = folder(root)
    assert sizes(data) == (10, 1, ["cat", "dog"])
    said = data.words["left out"]
    assert (
        said == "2 picture(s) beside the class folders, such as 000.jpg; 1 .txt, 1 without a suffix"
    )


def test_most_pictures_beside_two_folders_make_no_classes(pictures):
    for name, count in (("", 9), ("cat", 2), ("dog", 2)):
        root = pictures(name, count)
    assert folder(root).classes == []


def test_a_link_to_a_folder_above_is_followed_never_twice(pictures):
    for name in ("cat", "dog"):
        root = pictures(name, 3)
    (root / "cat" / "again").symlink_to(root, target_is_directory=True)
    (root / "dog" / "self").symlink_to(root / "dog", target_is_directory=True)
    shutil.copytree(root / "cat", root / "elsewhere", symlinks=True)
    (root / "owl").symlink_to(root / "elsewhere", target_is_directory=True)
    data = folder(root)
    assert (len(data.splits.train.files), data.classes) == (12, ["cat", "dog", "elsewhere", "owl"])


@pytest.mark.parametrize(
    ("suffix", "format"),
    [("jfif", "JPEG"), ("jpe", "JPEG"), ("avif", "AVIF"), ("jp2", "JPEG2000"), ("tga", "TGA"),
     ("JPG", "JPEG"),
     ("dib", "BMP"), ("pnm", "PPM")],
)  # fmt: skip
def test_every_format_that_can_be_read_is_read(tmp_path, suffix, format):
    for number in range(4):
        Image.new("RGB", (24, 20), (200, 100, 50)).save(tmp_path / f"{number}.{suffix}", format)
    data = folder(tmp_path)
    (batch, *_) = data.bank_dataloader()
    assert batch.image.float().mean((0, 2, 3)).tolist() == pytest.approx([200, 100, 50], abs=6)


def test_pictures_that_cannot_be_read_here_are_counted_and_say_what_reads_them(pictures, tmp_path):
    pictures("", 4)
    for number in range(3):
        (tmp_path / f"{number}.heic").write_bytes(b"x")
    assert folder(tmp_path).words["left out"] == "3 .heic (pip install pillow-heif)"


def test_names_that_are_no_utf_8_are_read(pictures):
    for name in ("cat", "dog"):
        root = pictures(name, 3)
    for name in (b"cat", b"dog"):
        os.rename(
            os.fsencode(root) + b"/" + name + b"/000.jpg",
            os.fsencode(root) + b"/" + name + b"/\xff\xfe.jpg",
        )
    os.rename(os.fsencode(root) + b"/dog", os.fsencode(root) + b"/d\xe9g")
    data = folder(root, held_out=0.2)
    assert data.classes == ["cat", "d\\udce9g"]
    assert sum(len(batch.image) for batch in data.bank_dataloader()) == 5
    data.splits.train.files.check()
    assert not data.splits.train.files._unreadable.any()


def test_what_is_no_folder_is_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder; point it at pictures"):
        find_folders(tmp_path / "nowhere")


def test_a_folder_that_is_only_judged_says_so(pictures):
    for name in ("cat", "dog"):
        root = pictures(name, 2)
    data = folder(root)
    data.only_judged = True
    data.setup()
    assert data.words["folders"] == f"{root} is judged"
