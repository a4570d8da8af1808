"""The named sets, from small files of their official formats."""

import pickle

import numpy as np
import pytest
import torch
from torchvision import datasets
from torchvision.datasets import utils

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.finetune import Finetune
from mim.augment.no_augment import NoAugment
from mim.data.cifar import CIFAR10, CIFAR100
from mim.data.image_folder import ImageFolder
from mim.data.imagenet import ImageNet
from mim.data.stl10 import STL10
from mim.data.tiny_imagenet import TinyImageNet, sort_validation


def build(kind, root, size=32):
    data = kind(str(root), NoAugment(), size, 2)
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize(("kind", "classes"), [(CIFAR10, 10), (CIFAR100, 100)])
def test_cifar_is_read_from_its_pickles(tmp_path, monkeypatch, kind, classes):
    # of the real files
    monkeypatch.setattr(datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    source, folder = kind.source, tmp_path / kind.source.base_folder
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3072), dtype=np.uint8)
    label = "labels" if classes == 10 else "fine_labels"
    for name, _ in source.train_list + source.test_list:
        (folder / name).write_bytes(pickle.dumps({"data": pixels, label: [1, classes - 1]}))
    names = {source.meta["key"]: [f"class {i}" for i in range(classes)]}
    (folder / source.meta["filename"]).write_bytes(pickle.dumps(names))
    data = build(kind, tmp_path)
    assert (data.num_classes, data.train_size) == (classes, 2 * len(source.train_list))
    batch = next(iter(data.val_dataloader()))
    assert np.array_equal(batch.image.reshape(2, -1).numpy(), pixels)  # planes of red, green, blue
    assert batch.label.tolist() == [1, classes - 1]


@pytest.fixture
def stl10(tmp_path, monkeypatch):
    """The files of a small STL-10, and the pixels of its unlabelled images, with which the others
    begin.
    """
    monkeypatch.setattr(datasets.STL10, "_check_integrity", lambda self: True)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 96, 96), dtype=np.uint8)
    for name, count in (("unlabeled", 4), ("train", 3), ("test", 2)):
        pixels[:count].transpose(0, 1, 3, 2).tofile(folder / f"{name}_X.bin")  # columns first
        np.arange(1, count + 1, dtype=np.uint8).tofile(folder / f"{name}_y.bin")
    (folder / "class_names.txt").write_text("\n".join(f"class {i}" for i in range(10)))
    return tmp_path, pixels


def test_stl10_trains_on_unlabelled_pictures_and_probes_labelled_ones(stl10):
    root, pixels = stl10
    data = build(STL10, root, size=96)
    assert (data.num_classes, data.train_size) == (10, 4)
    assert next(iter(data.train_dataloader())).label.tolist() == [-1, -1]
    bank = list(data.bank_dataloader())
    assert torch.cat([b.label for b in bank]).tolist() == [0, 1, 2]
    assert np.array_equal(torch.cat([b.image for b in bank]).numpy(), pixels[:3])


@pytest.mark.parametrize("view", [NoAugment(), Finetune(TorchvisionBoxes())])
def test_what_needs_labels_trains_on_the_labelled_pictures_of_stl10_augmented(stl10, view):
    root, _ = stl10
    data = STL10(str(root), view, 96, 3, num_workers=0)
    data.learn_from("classes")
    (batch,) = data.train_dataloader()
    assert (data.train_size, data.batches_per_epoch) == (3, 1)
    assert batch.label[batch.index.argsort()].tolist() == [0, 1, 2]
    assert batch.image.equal(data.splits.bank.image[batch.index]) == isinstance(view, NoAugment)
    assert data.on_after_batch_transfer(batch).image.shape == (3, 3, 96, 96)
    assert data.words["data"] == "3 labelled images of 96 x 96, 10 classes"


def test_a_set_that_is_labelled_throughout_trains_on_all_of_it(pictures):
    for name in ("train/a", "train/b"):
        root = pictures(name, 3)
    data = ImageFolder(str(root), NoAugment(), 16, 2)
    size = data.train_size
    data.learn_from("classes")
    assert data.train_size == size
    assert data.training is data.splits.train


def test_tiny_imagenet_sorts_its_validation_pictures_once(pictures):
    for name in ("train/n1/images", "train/n2/images", "val/images"):
        root = pictures(f"tiny-imagenet-200/{name}", 3, size=64)
    folder = root / "tiny-imagenet-200"
    lines = [
        f"{number:03}.jpg\t{wnid}\t0\t0\t9\t9" for number, wnid in enumerate(["n2", "n1", "n2"])
    ]
    (folder / "val" / "val_annotations.txt").write_text("\n".join(lines))
    (folder / "val_by_class.partial" / "n9").mkdir(parents=True)  # left by a run that was stopped
    data = build(TinyImageNet, root, size=64)
    assert (data.classes, data.train_size) == (["n1", "n2"], 6)
    assert torch.cat([b.label for b in data.val_dataloader()]).tolist() == [0, 1, 1]
    assert not (folder / "val_by_class.partial").exists()
    (folder / "val" / "val_annotations.txt").unlink()
    assert sort_validation(folder) == folder / "val_by_class"


def test_imagenet_is_read_from_class_folders_by_workers(pictures):
    for name in ("train/n01", "train/n02", "val/n01", "val/n02"):
        root = pictures(name, 2)
    data = build(ImageNet, root)
    assert data.classes == ["n01", "n02"]
    assert torch.cat([b.label for b in data.val_dataloader()]).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100, STL10, TinyImageNet, ImageNet])
def test_what_cannot_be_downloaded_is_one_line_that_says_where_to_get_it(
    tmp_path, monkeypatch, kind
):
    def no_network(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(utils, "_get_redirect_url", no_network)
    with pytest.raises(
        FileNotFoundError, match=rf"{kind.__name__} is not complete in data\.root=.*; put .* there"
    ) as error:
        build(kind, tmp_path)
    assert "\n" not in str(error.value)
