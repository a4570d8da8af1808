"""Crops, flips and timm's changes of pixels, all from the image's key."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.finetune import Finetune, _changes
from mim.augment.no_augment import NoAugment
from mim.augment.pictures import Cropped
from mim.data.in_memory import InMemory, Stored, in_memory_splits
from mim.data.sampler import Rows
from mim.draw import keys

KEY = keys(0, 0, torch.arange(8))


@pytest.fixture
def view() -> Finetune:
    return Finetune(TorchvisionBoxes((0.35, 1.0)), flip=0.5)


@pytest.fixture
def stored() -> Stored:
    return Stored(torch.randint(0, 256, (8, 3, 12, 12), dtype=torch.uint8), torch.arange(8))


def test_what_becomes_of_an_image_belongs_to_its_key(view):
    image = torch.randint(0, 256, (3, 24, 24), dtype=torch.uint8)
    first, again, other = (view.paint(image, key) for key in (7, 7, 8))
    assert first.equal(again)
    assert not first.equal(other)
    assert first.shape == image.shape
    assert first.dtype == torch.uint8


@pytest.mark.parametrize(
    "settings", [{"policy": "rand-m9-mstd0.5-inc1"}, {"policy": None, "color_jitter": 0.4}]
)
def test_painting_leaves_the_global_streams_alone(settings):
    def draws():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    def seed():
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)

    view = Finetune(TorchvisionBoxes(), **settings)
    seed()
    expected = draws()
    seed()
    view.paint(
        torch.randint(
            0, 256, (3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        ),
        3,
    )
    assert draws() == expected


def test_an_image_of_no_bits_is_black():
    """timm's strongest posterize keeps none; Pillow 13 refuses that, and the policy would stop a
    run in its first epoch.
    """
    view = Finetune(TorchvisionBoxes(), policy="rand-m10-n40-inc1-p1.0")
    image = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    assert all(view.paint(image, key).shape == image.shape for key in range(20))
    (part,) = _changes("rand-m10-inc1", None, 16).transforms
    (op,) = (op for op in part.ops if "Posterize" in op.name)
    assert np.array(op.aug_fn(Image.new("RGB", (2, 2), (255, 200, 100)), 0)).max() == 0
    assert np.array(op.aug_fn(Image.new("RGB", (2, 2), (255, 200, 100)), 1)).tolist()[0][0] == [
        128,
        128,
        0,
    ]


def test_crops_and_flips_are_those_of_the_key_whatever_is_painted(view):
    boxes, flips, _ = view(KEY, torch.full((8, 2), 40))
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert flips.any()
    assert not flips.all()


def test_pictures_of_files_are_painted_after_they_are_cropped(view):
    pictures = [torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8) for _ in KEY]
    ((painted, box, flip),) = Cropped(view, 16)(pictures, KEY)

    unpainted = CropFlip(view.boxes, view.flip, view.interpolation)
    ((plain, same_box, same_flip),) = Cropped(unpainted, 16)(pictures, KEY)
    assert box.equal(same_box)
    assert flip.equal(same_flip)
    assert painted.equal(
        torch.stack(
            [view.paint(image, key) for image, key in zip(plain, KEY.tolist(), strict=True)]
        )
    )
    assert not painted.equal(plain)


def test_pictures_in_memory_are_painted_by_workers_and_arrive_cut(view, stored):
    splits = in_memory_splits(stored, stored, view, 16, ["a", "b"])
    rows = Rows(torch.arange(8), KEY)
    batch = splits.train[rows]
    assert splits.train.wants_workers
    assert not splits.val.wants_workers
    assert batch.image.shape == (8, 3, 16, 16)
    mirrored = torch.where(batch.flip[:, None, None, None], batch.image.flip(-1), batch.image)
    # nothing but the flip is left to do
    assert splits.train.finish(batch.views[0]).equal(mirrored.float())
    (held_out,), alone = splits.val[rows].views, InMemory(stored, NoAugment(), 16)
    assert splits.train.finish(held_out).equal(alone.finish(alone[rows].views[0]))


def test_crops_are_resized_as_the_view_says(stored):
    """In memory and from files, painted or not."""
    boxes = TorchvisionBoxes((0.35, 0.6))
    rows = Rows(torch.arange(8), KEY)
    stored = stored._replace(
        image=64 + stored.image // 2
    )  # files are cut to 0..255 after each direction, memory at the end
    for view in (CropFlip, partial(Finetune, policy="rand-m0-n0")):
        shown = {}
        for interpolation in ("bicubic", "bilinear"):
            augment = view(boxes, interpolation=interpolation)
            train = in_memory_splits(stored, stored, augment, 24, []).train
            shown[interpolation] = train.finish(train[rows].views[0])
            ((image, _, flip),) = Cropped(augment, 24)(list(stored.image), KEY)
            files = torch.where(flip[:, None, None, None], image.flip(-1), image)
            assert (files - shown[interpolation]).abs().max() <= 1.5  # of 255
        assert (shown["bicubic"] - shown["bilinear"]).abs().max() > 5


def test_without_paint_memory_needs_no_workers(stored):
    assert not in_memory_splits(stored, stored, NoAugment(), 16, []).train.wants_workers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "foo"}, "timm knows no policy=foo"),
        ({"policy": None}, "needs one of them"),
        ({"color_jitter": 0.4}, "needs one of them"),
        ({"flip": 2.0}, "at least 0 and at most 1"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Finetune(TorchvisionBoxes(), **settings)
