"""Memory of a process that reads data: large photographs are held decoded one at a time, and
nothing else changes.
"""

import pytest
import torch

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.no_augment import NoAugment
from mim.data import from_files
from mim.data.image_folder import ImageFolder


@pytest.mark.parametrize("view", [CropFlip(TorchvisionBoxes()), NoAugment()])
@pytest.mark.parametrize("pixels", [1, 1500])
def test_batches_are_the_same_however_many_pictures_are_held(pictures, monkeypatch, view, pixels):
    data = ImageFolder(str(pictures("all", 60)), view, 16, 40, num_workers=0, held_out=0.3)
    loaders = (data.train_dataloader, data.val_dataloader)
    many = [batch for loader in loaders for batch in loader()]
    monkeypatch.setattr(from_files, "CHUNK_PIXELS", pixels)
    few = [batch for loader in loaders for batch in loader()]
    assert all(
        torch.equal(a, b)
        for ours, theirs in zip(many, few, strict=True)
        for a, b in zip(ours.tensors, theirs.tensors, strict=True)
    )


def test_of_large_photographs_one_is_held_at_a_time(pictures, monkeypatch):
    data = ImageFolder(str(pictures("all", 20)), NoAugment(), 16, 8, num_workers=0)
    held: list[int] = []
    kind = type(data.splits.train.cut)
    go = kind.__call__
    monkeypatch.setattr(
        kind,
        "__call__",
        lambda self, shown, *rest: held.append(len(shown)) or go(self, shown, *rest),
    )
    next(iter(data.train_dataloader()))
    monkeypatch.setattr(from_files, "CHUNK_PIXELS", 1)
    next(iter(data.train_dataloader()))
    assert held == [8] + [1] * 8
