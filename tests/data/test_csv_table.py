"""Pictures that a table lists."""

import pytest
import torch

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.no_augment import NoAugment
from mim.data.csv import Csv
from mim.data.image_folder import ImageFolder

SETTINGS = {"image_size": 16, "batch_size": 2, "num_workers": 0}


def data(**settings):
    return Csv(NoAugment(), **SETTINGS | settings)


def write(root, text, name="labels.csv"):
    (root / name).write_text(text, "utf-8")
    return root / name


@pytest.fixture
def root(pictures):
    """Four pictures and a table of them."""
    root = pictures("shots", 4)
    rows = [
        "000.jpg,cat,yes,train",
        "001.jpg,dog,no,val",
        "002.jpg,dog,no,train",
        "003.jpg,cat,yes,train",
    ]
    write(root, "file,species,tame,split\n" + "\n".join(f"shots/{row}" for row in rows) + "\n")
    return root


def labels(loader):
    return torch.cat([batch.label for batch in loader]).tolist()


def test_a_column_of_files_one_of_labels_and_one_of_splits(root):
    made = data(root=str(root), label_column="species")
    assert (made.classes, made.train_size) == (["cat", "dog"], 3)
    assert (labels(made.bank_dataloader()), labels(made.val_dataloader())) == ([0, 1, 0], [1])
    assert made.splits.val.files.path(1) == str(root / "shots/001.jpg")
    assert made.words["table"].endswith("labels.csv: train is trained on, val is held out")
    assert made.words["left out"] == "columns tame"
    assert data(table=str(root / "labels.csv"), label_column="tame").classes == ["no", "yes"]
    without = data(root=str(root))  # neither column is called label
    assert (without.classes, without.words["left out"]) == ([], "columns species, tame")


def test_rows_give_the_batches_that_a_folder_of_the_same_pictures_gives(pictures):
    for name in ("train/cat", "train/dog", "val/cat", "val/dog"):
        root = pictures(name, 3)
    files = sorted(root.rglob("*.jpg"))
    rows = [
        f"{file.relative_to(root)}\t{file.parent.name}\t{file.relative_to(root).parts[0]}"
        for file in files
    ]
    write(root, "path\tlabel\tset\n" + "\n".join(rows), "all.tsv")
    augment = CropFlip(TorchvisionBoxes())
    ours = Csv(augment, **SETTINGS, root=str(root))
    theirs = ImageFolder(str(root), augment, **SETTINGS)
    for loader in ("train_dataloader", "val_dataloader"):
        for a, b in zip(getattr(ours, loader)(), getattr(theirs, loader)(), strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a.tensors, b.tensors, strict=True))


def test_folds_and_endings_of_tables_as_competitions_have_them(pictures):
    root = pictures("", 6)
    write(
        root,
        "\ufeffid_code;fold;diagnosis\n" + "\n".join(f"{n:03};{n % 3};{n % 2}" for n in range(6)),
    )
    made = data(root=str(root), val=1, suffix=".jpg")
    assert (made.classes, labels(made.bank_dataloader()), labels(made.val_dataloader())) == (
        ["0", "1"],
        [0, 0, 1, 1],
        [1, 0],
    )
    with pytest.raises(
        FileNotFoundError, match=r"6 of 6 files .* not there, such as .*000; .* data.suffix=.jpg"
    ):
        data(root=str(root), val=1).setup()


def test_a_missing_file_is_skipped_and_named_as_a_broken_one_is(root):
    (root / "shots/002.jpg").unlink()
    made = data(root=str(root))
    with pytest.warns(UserWarning, match=r"skipped .*shots/002\.jpg"):
        assert len(labels(made.bank_dataloader())) == 3


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/hosts", "shots/../../x.jpg"])
def test_a_table_opens_nothing_outside_of_its_folder(root, path):
    write(root, f"file\nshots/000.jpg\n{path}\n")
    with pytest.raises(ValueError, match=r"row 3 names .*, which is outside of .*data\.root=/"):
        data(root=str(root)).setup()


def test_with_the_root_of_all_a_table_may_name_whole_paths(root):
    write(root, "file\n" + "\n".join(str(root / f"shots/00{n}.jpg") for n in range(4)))
    assert data(root="/", table=str(root / "labels.csv")).train_size == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its first line needs to name the columns"),
        ("file\n", "rows need to follow"),
        ("file,file\na,b\n", "each once"),
        ("file,label\na.jpg\n", "row 2 has 1 values, and the header 2 names"),
        (
            "x,y\na,b\n",
            r"has the columns x, y, and none says that it holds files; name it: data\.path_col",
        ),
        ("file,label\n,cat\n", "row 2 names no file"),
        ('file\n"a', "is no table that can be read"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, text, said):
    with pytest.raises(ValueError, match=said) as error:
        data(table=str(write(tmp_path, text))).setup()
    assert "\n" not in str(error.value)


def test_a_table_that_is_not_there_is_one_line(root):
    with pytest.raises(
        FileNotFoundError, match=r"data\.table=other\.csv is no file in data\.root="
    ):
        data(root=str(root), table="other.csv").setup()
    with pytest.raises(FileNotFoundError, match=r"data=csv needs a table: give data\.table="):
        data().setup()
    write(root, "file\n", "second.tsv")
    with pytest.raises(FileNotFoundError, match=r"one of labels\.csv, second\.tsv"):
        data(root=str(root)).setup()
