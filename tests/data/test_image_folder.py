import pytest
import torch

from mim.augment.no_augment import NoAugment
from mim.data.image_folder import ImageFolder


def folder(root, **arguments):
    return ImageFolder(
        str(root), NoAugment(), **{"image_size": 16, "batch_size": 2, "num_workers": 0, **arguments}
    )


def labels(loader):
    return torch.cat([batch.label for batch in loader]).tolist()


@pytest.mark.parametrize("held_out", ["val", "test"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_class_folders_under_train_and_val_or_test(pictures, held_out, in_memory):
    for name, count in (
        ("train/cat", 3),
        ("train/dog/small", 2),
        (f"{held_out}/cat", 1),
        (f"{held_out}/dog", 2),
    ):
        root = pictures(name, count)
    data = folder(root, in_memory=in_memory)
    assert (data.classes, data.num_classes, data.train_size) == (["cat", "dog"], 2, 5)
    assert labels(data.bank_dataloader()) == [0, 0, 0, 1, 1]
    assert labels(data.val_dataloader()) == [0, 1, 1]


def test_class_folders_without_a_split_hold_out_a_share_that_no_seed_changes(pictures):
    pictures("cat", 10)
    root = pictures("dog", 10)
    data, other = folder(root, held_out=0.2), folder(root, held_out=0.2, seed=5)
    assert (data.train_size, len(data.splits.val), data.num_classes) == (16, 4, 2)
    assert data.splits.val.numbers.tolist() == other.splits.val.numbers.tolist()
    assert sorted(data.splits.val.numbers.tolist() + data.splits.train.numbers.tolist()) == list(
        range(20)
    )


@pytest.mark.parametrize("names", [("",), ("", "cat"), ("only",), ("a/b", "a/c")])
def test_pictures_without_class_folders_have_no_labels(pictures, names):
    for name in names:
        root = pictures(name, 4)
    data = folder(root)
    assert (data.classes, data.num_classes) == ([], 0)
    assert set(labels(data.bank_dataloader())) == {-1}


def test_images_of_all_sizes_become_squares(pictures):
    for in_memory in (True, False):
        data = folder(pictures("all", 12), in_memory=in_memory)
        assert {
            tuple(data.on_after_batch_transfer(b).image.shape) for b in data.train_dataloader()
        } == {(2, 3, 16, 16)}


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"data\.root=.*nowhere is not a folder; point it at pictures, e\.g\.",
    ) as error:
        folder(tmp_path / "nowhere").setup()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("made", ["", "train", "val"])
def test_an_empty_folder_is_one_line(pictures, tmp_path, made):
    pictures("train", 0 if made == "train" else 2) if made else None
    (tmp_path / made).mkdir(exist_ok=True)
    (tmp_path / made / "notes.txt").write_text("no picture")
    with pytest.raises(
        FileNotFoundError, match=r"holds no pictures .*; put some there or point data\.root"
    ) as error:
        folder(tmp_path).setup()
    assert "\n" not in str(error.value)


def test_held_out_pictures_of_unknown_classes_are_refused(pictures):
    for name in ("train/cat", "train/dog", "val/cat", "val/owl"):
        root = pictures(name, 1)
    with pytest.raises(
        ValueError, match=r"1 picture\(s\) outside of the class folders of .* such as owl"
    ):
        folder(root).setup()


def test_a_single_picture_is_too_few(pictures):
    with pytest.raises(ValueError, match="needs at least 2"):
        folder(pictures("", 1)).setup()


@pytest.mark.parametrize("share", [0, 1, 1.5])
def test_a_share_that_leaves_nothing_is_refused(pictures, share):
    with pytest.raises(ValueError, match="more than 0 and less than 1"):
        folder(pictures("", 3), held_out=share).setup()
