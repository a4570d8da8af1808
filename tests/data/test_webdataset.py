import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.data import shard_index
from mim.data.image_folder import ImageFolder
from mim.data.webdataset import WebDataset


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def folder(pictures) -> Path:
    """Class folders of different sizes, and held-out ones."""
    for name, count in (("train/cat", 7), ("train/dog", 5), ("val/cat", 2), ("val/dog", 3)):
        root = pictures(name, count)
    return root


def pack(folder, root, labels=True, per_shard=5, mode="w"):
    """The pictures of class folders in shards of a few, as WebDataset lays them out, with a field
    more that is no picture.
    """
    root.mkdir(exist_ok=True)
    for split in ("train", "val"):
        files = sorted((folder / split).rglob("*.jpg"))
        for first in range(0, len(files), per_shard):
            with tarfile.open(root / f"set-{split}-{first:04}.tar", mode) as tar:
                for number, file in enumerate(files[first : first + per_shard], first):
                    add(tar, f"./{number:06}.json", b"{}")
                    add(tar, f"./{number:06}.jpg", file.read_bytes())
                    if labels:
                        add(tar, f"./{number:06}.cls", str(int(file.parent.name == "dog")).encode())
    return root


def arguments(**others):
    return {
        "augment": CropFlip(TorchvisionBoxes()),
        "image_size": 16,
        "batch_size": 4,
        "num_workers": 0,
    } | others


def batches(data):
    """Two epochs of training, then what is held out, as the device sees them."""
    loader = data.train_dataloader()
    seen = [batch for _ in range(2) for batch in loader] + list(data.val_dataloader())
    return [data.on_after_batch_transfer(batch) for batch in seen]


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_give_the_batches_that_a_folder_of_the_same_pictures_gives(
    folder, tmp_path, workers
):
    data = WebDataset(str(pack(folder, tmp_path / "shards")), **arguments(num_workers=workers))
    other = ImageFolder(str(folder), **arguments())
    assert (data.classes, data.train_size) == (["0", "1"], 12)
    for ours, theirs in zip(batches(data), batches(other), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours.tensors, theirs.tensors, strict=True))


def test_without_labels_and_without_other_shards_a_share_is_held_out(folder, tmp_path):
    root = pack(folder, tmp_path / "shards", labels=False)
    data = WebDataset(str(root), **arguments(val="nothing*.tar", held_out=0.25))
    assert (data.classes, data.train_size, len(data.splits.val)) == ([], 9, 3)
    assert {int(label) for batch in data.bank_dataloader() for label in batch.label} == {-1}


def test_headers_are_read_once_for_the_same_files(folder, tmp_path, monkeypatch):
    root, cache = pack(folder, tmp_path / "shards"), str(tmp_path / "cache")
    first = WebDataset(str(root), **arguments(cache=cache)).splits.train
    with monkeypatch.context() as patch:
        patch.setattr(shard_index, "contents_of", lambda shard: pytest.fail("read again"))
        again = WebDataset(str(root), **arguments(cache=cache)).splits.train
    assert [first.files.path(n) for n in range(17)] == [again.files.path(n) for n in range(17)]
    assert first.label.equal(again.label)
    with tarfile.open(root / "set-train-0000.tar", "a") as tar:
        add(tar, "./999.jpg", (folder / "val/cat/000.jpg").read_bytes())
        add(tar, "./999.cls", b"4")
    data = WebDataset(str(root), **arguments(cache=cache))
    assert (data.train_size, data.num_classes) == (13, 5)


def test_a_broken_picture_is_skipped_with_its_shard_and_name(folder, tmp_path):
    (folder / "train/cat/003.jpg").write_bytes(b"no picture")
    data = WebDataset(str(pack(folder, tmp_path / "shards")), **arguments())
    with pytest.warns(
        UserWarning, match=r"skipped .*set-train-0000\.tar/\./000003\.jpg \(1 so far\)"
    ):
        batches(data)


@pytest.mark.parametrize("count", [0, 1])
def test_no_shards_or_nothing_in_them(tmp_path, count):
    for number in range(count):
        with tarfile.open(tmp_path / f"train-{number}.tar", "w") as tar:
            add(tar, "notes.txt", b"no picture")
    with pytest.raises(
        FileNotFoundError,
        match=rf"has {count} shards \*train\*\.tar \(\* is anything\) and no picture in them",
    ):
        WebDataset(str(tmp_path), **arguments()).setup()


def test_compressed_shards_cannot_be_read_in_place(folder, tmp_path):
    root = pack(folder, tmp_path / "shards", mode="w:gz")
    with pytest.raises(
        ValueError,
        match=r"set-train-0000\.tar is no shard that can be read in place .* not compressed",
    ):
        WebDataset(str(root), **arguments()).setup()


def test_a_shard_of_which_a_part_is_missing(folder, tmp_path, truncate):
    root = pack(folder, tmp_path / "shards")
    truncate(root / "set-train-0005.tar")
    with pytest.raises(
        ValueError, match=r"set-train-0005\.tar is no shard that can be read in place"
    ):
        WebDataset(str(root), **arguments()).setup()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"-3", "'-3', no whole number from 0 on and no word of"),
        (b" 1.5e3", "'1.5e3', no whole number"),
        (b"", "'', no whole number"),
        (b"caf\xe9", "no whole number"),
        (b"x" * 201, "no word of at most 200 characters"),
        (b"1" * 2000, "has 2,000 bytes, no whole number from 0 on and no word"),
    ],
)
def test_a_class_that_is_no_number_and_no_word(folder, tmp_path, content, said):
    root = pack(folder, tmp_path / "shards")
    with tarfile.open(root / "set-train-0000.tar", "a") as tar:
        add(tar, "./999.cls", content)
    with pytest.raises(
        ValueError, match=rf"the class in \./999\.cls .*{said}.*its class as a number or a word"
    ):
        WebDataset(str(root), **arguments()).setup()


def test_classes_of_only_some_pictures(folder, tmp_path):
    root = pack(folder, tmp_path / "shards")
    with tarfile.open(root / "set-train-0000.tar", "a") as tar:
        add(tar, "./999.jpg", (folder / "val/cat/000.jpg").read_bytes())
    with pytest.raises(
        ValueError,
        match=r"1 of 18 pictures have no class, such as .*0000\.tar/\./999\.jpg; put a \.cls",
    ):
        WebDataset(str(root), **arguments()).setup()


@pytest.mark.parametrize("name", ["{:06}.image", "img.{:06}", "a.b.{:06}", "{:06}"])
def test_pictures_of_dotted_names_are_all_read_with_their_labels(folder, tmp_path, name):
    file = (folder / "train/cat/000.jpg").read_bytes()
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        for number in range(6):
            add(tar, name.format(number) + ".jpg", file)
            add(tar, f"{number:06}.seg.png" if name == "{:06}" else f"{number}.txt", file)
            add(tar, name.format(number).removesuffix(".image") + ".cls", str(number % 3).encode())
    data = WebDataset(str(tmp_path), **arguments(val="none*.tar", held_out=0.3))
    assert (len(data.splits.train.files), data.classes) == (6, ["0", "1", "2"])
    assert data.splits.train.files.label.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.splits.train.files.path(3).endswith(name.format(3) + ".jpg")


def shard(folder, file, *fields):
    """A shard of some samples, each of which has fields by their extension: their content, or None
    for a picture.
    """
    picture = (folder / "train/cat/000.jpg").read_bytes()
    with tarfile.open(file, "w") as tar:
        for number, sample in enumerate(fields):
            for extension, content in sample.items():
                add(tar, f"{number:04}.{extension}", picture if content is None else content)
    return file.parent


@pytest.mark.parametrize("key", ["label", "cls", "class", "class_id", "target"])
def test_the_class_in_a_json_is_a_label(folder, tmp_path, key):
    samples = [
        {"jpg": None, "json": f'{{"url": "x", "{key}": {value}}}'.encode()}
        for value in (2, 0, '"1"')
    ]
    data = WebDataset(
        str(shard(folder, tmp_path / "train.tar", *samples)), **arguments(held_out=0.4)
    )
    assert data.splits.train.files.label.tolist() == [2, 0, 1]
    assert "left out" not in data.words


def test_a_class_of_its_own_goes_before_one_in_a_json(folder, tmp_path):
    samples = [
        {"json": b'{"label": 5}', "jpg": None, "cls": b"1"},
        {"jpg": None, "cls": b"0", "json": b"{}"},
    ]
    data = WebDataset(
        str(shard(folder, tmp_path / "train.tar", *samples)), **arguments(held_out=0.5)
    )
    assert data.splits.train.files.label.tolist() == [1, 0]
    assert "left out" not in data.words


def test_a_json_without_a_class_and_further_pictures_are_said_also_from_the_cache(folder, tmp_path):
    text = b'{"caption": "a cat", "label": null}'
    samples = [
        *(
            {"jpg": None, "seg.png": None, "json": text, "txt": b"a cat"},
            {"left.jpg": None, "right.jpg": None},
        ),
        *({"jpg": None, "json": b"no json"}, {"jpg": None, "json": b'{"label": 1}' + b" " * 2**20}),
    ]
    root = shard(folder, tmp_path / "train.tar", *samples)
    for _ in range(2):
        data = WebDataset(str(root), **arguments(held_out=0.5, cache=str(tmp_path / "cache")))
        assert data.classes == []
        assert data.words["left out"] == (
            "3 .json without a class (label, cls, class, class_id or target), such as 0000.json; "
            "2 further picture(s) of a sample, such as 0001.right.jpg; 1 .txt"
        )
        assert [data.splits.train.files.path(n).rpartition("/")[2] for n in range(4)] == [
            *("0000.jpg", "0001.left.jpg", "0002.jpg", "0003.jpg")
        ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"-0.5"', "'-0.5', no whole number"),
        ("[1, 2]", r"\[1, 2\], no whole number"),
        ("true", "true, no whole number"),
        ("-3", "-3, no whole number"),
        ("99999999", "says class 99,999,999; at most"),
    ],
)
def test_a_class_in_a_json_that_is_none(folder, tmp_path, value, said):
    root = shard(
        folder, tmp_path / "train.tar", {"jpg": None, "json": f'{{"label": {value}}}'.encode()}
    )
    with pytest.raises(ValueError, match=rf"0000\.json.*{said}"):
        WebDataset(str(root), **arguments()).setup()


DOGS = ["dog", " cat\n", "caf\u00e9", "dog"]


@pytest.mark.parametrize("beside", ["cls", "json"])
def test_words_are_classes_sorted_over_all_shards_also_from_the_cache(folder, tmp_path, beside):
    def sample(word):
        content = json.dumps({"label": "", "class": word}) if beside == "json" else word
        return {"jpg": None, beside: content.encode()}

    shard(folder, tmp_path / "train-0.tar", *map(sample, DOGS[:2]))
    shard(folder, tmp_path / "train-1.tar", *map(sample, DOGS[2:]))
    shard(folder, tmp_path / "val.tar", sample("cat"))
    (tmp_path / "classes.txt").write_text("of numbers\n" * 3)
    for _ in range(2):
        data = WebDataset(str(tmp_path), **arguments(cache=str(tmp_path / "cache")))
        assert data.classes == ["caf\u00e9", "cat", "dog"]
        assert data.splits.train.files.label.tolist() == [2, 1, 0, 2, 1]
        assert "left out" not in data.words
    assert len(list((tmp_path / "cache" / "shards").iterdir())) == 1


def test_words_of_shards_beside_their_index(folder, tmp_path):
    file = tmp_path / "train.tar"
    shard(folder, file, *({"jpg": None, "cls": word.encode()} for word in DOGS))
    shard_index.keep_beside([file])
    index = shard_index._beside([file])
    assert (index.words, index.label.tolist()) == (("caf\u00e9", "cat", "dog"), [2, 1, 0, 2])


@pytest.mark.parametrize("harm", ["words_text", "words_end", "label"])
def test_an_index_whose_words_do_not_fit_is_not_used(folder, tmp_path, harm):
    file = tmp_path / "train.tar"
    shard(folder, file, *({"jpg": None, "cls": word.encode()} for word in DOGS))
    shard_index.keep_beside([file])
    with np.load(tmp_path / "index.npz") as arrays:
        content = dict(arrays)
    content[harm] = content[harm] + (1 if harm != "words_text" else 200)
    np.savez(tmp_path / "index.npz", **content)
    assert shard_index._beside([file]) is None


def test_words_and_numbers_are_not_mixed(folder, tmp_path):
    samples = [{"jpg": None, "cls": b"3"}, {"jpg": None, "json": b'{"label": "dog"}'}]
    with pytest.raises(
        ValueError,
        match=r"the class of train\.tar/0001\.jpg is 'dog' and that of train\.tar/0000\.jpg is 3; "
        "write words for all",
    ):
        WebDataset(
            str(shard(folder, tmp_path / "train.tar", *samples)), **arguments(held_out=0.5)
        ).setup()


def test_a_word_that_is_only_held_out_is_refused_unless_all_is_only_judged(folder, tmp_path):
    shard(folder, tmp_path / "train.tar", *({"jpg": None, "cls": w} for w in (b"cat", b"dog")))
    shard(folder, tmp_path / "val.tar", *({"jpg": None, "cls": w} for w in (b"cat", b"Dog")))
    with pytest.raises(
        ValueError,
        match=r"1 of 3 classes are held out .* such as Dog of .*val\.tar/0001\.jpg; write",
    ):
        WebDataset(str(tmp_path), **arguments()).setup()
    (tmp_path / "train.tar").unlink()
    data = WebDataset(str(tmp_path), **arguments())
    data.only_judged = True
    assert data.classes == ["Dog", "cat"]


def test_words_of_some_pictures_alone_do_not_vanish(folder, tmp_path):
    samples = [{"jpg": None, "json": b'{"label": "dog"}'}, {"jpg": None, "json": b'{"label": ""}'}]
    with pytest.raises(
        ValueError, match=r"1 of 2 pictures have no class, .*0001\.jpg; put a \.cls"
    ):
        WebDataset(
            str(shard(folder, tmp_path / "train.tar", *samples)), **arguments(held_out=0.5)
        ).setup()


@pytest.mark.parametrize("name", ["train.tar", "val.tar"])
def test_shards_that_are_only_judged_are_judged_whole(folder, tmp_path, name):
    data = WebDataset(str(shard(folder, tmp_path / name, *[{"jpg": None}] * 10)), **arguments())
    data.only_judged = True
    assert len(data.splits.val) == 10


def test_of_shards_that_are_only_judged_a_share_is_judged_where_it_is_asked_for(folder, tmp_path):
    data = WebDataset(
        str(shard(folder, tmp_path / "train.tar", *[{"jpg": None}] * 10)), **arguments(held_out=0.2)
    )
    data.only_judged = True
    assert len(data.splits.val) == 2


def test_shards_held_out_alone_are_nothing_to_train_on(folder, tmp_path):
    root = shard(folder, tmp_path / "val.tar", {"jpg": None})
    with pytest.raises(FileNotFoundError, match="has 0 shards"):
        WebDataset(str(root), **arguments()).setup()


def test_the_stamp_of_a_picture_changes_with_its_shard_alone(folder, tmp_path):
    root = pack(folder, tmp_path / "shards")

    def stamps():
        files = WebDataset(str(root), **arguments()).splits.train.files
        return [files.stamp(number) for number in range(len(files))]

    before = stamps()
    assert (len(before), len(set(before)), stamps()) == (17, 17, before)
    with tarfile.open(root / "set-train-0005.tar", "a") as tar:
        add(tar, "more.txt", b"more")
    changed = [
        number
        for number, pair in enumerate(zip(before, stamps(), strict=True))
        if pair[0] != pair[1]
    ]
    assert changed == [5, 6, 7, 8, 9]
