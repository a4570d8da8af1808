"""Views on their way: keyed, the same however many work on them, moved and normalised each by
itself.
"""

import pickle
from functools import partial

import pytest
import torch

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.multi_crop import MultiCrop
from mim.augment.shifted_pair import ShiftedPair
from mim.batch import Batch, blank
from mim.data.digits import Digits
from mim.data.image_folder import ImageFolder
from mim.draw import view_key
from mim.weights.settings import DATA, build
from tests.data.test_module import alike, on_rank

CROPS = MultiCrop(2, 10, local_size=8)


@pytest.mark.filterwarnings("ignore:This process")
@pytest.mark.filterwarnings("ignore:This DataLoader")
@pytest.mark.parametrize("in_memory", [True, False])
def test_twelve_views_are_the_same_from_any_number_of_workers(pictures, in_memory):
    root = str(pictures("all", 10))

    def batches(workers):
        data = ImageFolder(root, CROPS, 16, 4, in_memory=in_memory, num_workers=workers)
        return [data.on_after_batch_transfer(batch) for batch in data.train_dataloader()]

    first, *others = (batches(workers) for workers in (0, 1, 3))
    assert len(first) == 2
    assert [view.image.shape for view in first[0].views] == [(4, 3, 16, 16)] * 2 + [
        (4, 3, 8, 8)
    ] * 10
    for other in others:
        assert all(alike(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("augment", [CROPS, ShiftedPair(TorchvisionBoxes(), margin=4, shift=3)])
def test_two_processes_together_see_the_views_of_one(augment):
    def seen(rank, world_size, batch_size):
        data = on_rank(Digits(augment, 16, batch_size, num_workers=0), rank, world_size)
        return data.on_after_batch_transfer(next(iter(data.train_dataloader())))

    alone, *parts = seen(0, 1, 8), seen(0, 2, 4), seen(1, 2, 4)
    for one, *shares in zip(alone.tensors, *(part.tensors for part in parts), strict=True):
        assert one.equal(torch.cat(shares))


def test_a_resumed_epoch_goes_on_with_the_views_that_were_left():
    data = on_rank(Digits(MultiCrop(1, 1, local_size=8), 16, 300, num_workers=0), 0, 1)
    whole = list(data.train_dataloader())
    data.trainer.fit_loop.epoch_loop.batch_progress.total.processed = 3
    (last,) = data.train_dataloader()
    assert alike(last, whole[3])


def test_every_view_is_normalised_as_one_is():
    data = Digits(CROPS, 16, 8, num_workers=0)
    stored = next(iter(data.train_dataloader()))
    made = data.on_after_batch_transfer(stored)
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    for before, after in zip(stored.views, made.views, strict=True):
        pixels = torch.where(before.flip[:, None, None, None], before.image.flip(-1), before.image)
        assert torch.allclose(after.image, (pixels / 255 - mean) / std, atol=1e-5)


def test_held_out_images_are_one_view_whatever_the_augmentation():
    several, one = (
        Digits(augment, 16, 8, num_workers=0) for augment in (CROPS, MultiCrop(1, 0, jittered=0.0))
    )
    for a, b in zip(several.val_dataloader(), one.val_dataloader(), strict=True):
        a, b = several.on_after_batch_transfer(a), one.on_after_batch_transfer(b)
        assert len(a.views) == 1
        assert alike(a, b)


def test_a_batch_is_taken_apart_and_changed_view_by_view():
    batch = blank(5, (4, 4))
    other = blank(5, (2, 2)).views[0]
    batch = batch._replace(views=(*batch.views, other))
    assert batch.image is batch.views[0].image
    assert batch.box is batch.views[0].box
    assert batch.flip is batch.views[0].flip
    assert [tuple(part.views[1].image.shape) for part in batch.split(2)] == [(2, 3, 2, 2)] * 2 + [
        (1, 3, 2, 2)
    ]
    assert batch.some(torch.tensor([False, True, False, False, True])).index.tolist() == [1, 4]
    changed = batch.with_image(torch.ones(5, 3, 4, 4))
    assert changed.image.eq(1).all()
    assert changed.views[1] is other
    assert len(batch.tensors) == 9
    assert all(
        tensor.dtype == torch.float64
        for tensor in batch.apply(partial(torch.Tensor.to, dtype=torch.float64)).tensors
    )
    assert alike(pickle.loads(pickle.dumps(batch)), batch)


def test_a_view_alone_has_a_key_of_its_own():
    batch = blank(5, (4, 4))
    batch = batch._replace(views=(*batch.views, blank(5, (2, 2)).views[0]))
    first, second = batch.of_view(0), batch.of_view(1)
    assert isinstance(second, Batch)
    assert first.key.equal(batch.key)
    assert second.key.equal(view_key(batch.key, 1))
    assert not set(second.key.tolist()) & set(batch.key.tolist())
    assert second.image.shape == (5, 3, 2, 2)


@pytest.mark.parametrize(
    "augment",
    [
        {
            "_target_": "mim.augment.multi_crop.MultiCrop",
            "local_crops": 3,
            "local_size": 8,
            "blur": [0.0, 0.5, 1.0],
        },
        {
            "_target_": "mim.augment.shifted_pair.ShiftedPair",
            "boxes": {"_target_": "mim.augment.boxes.TorchvisionBoxes", "scale": [0.5, 1.0]},
            "margin": 4,
            "shift": 2,
        },
    ],
)
def test_what_a_checkpoint_says_of_its_views_is_built(augment):
    settings = {
        "_target_": "mim.data.digits.Digits",
        "augment": augment,
        "image_size": 16,
        "batch_size": 4,
    }
    data = build(settings, DATA, "a file", "data")
    assert len(data.augment.views) == (5 if "local_crops" in augment else 2)
    with pytest.raises(
        ValueError, match=r"data\.augment\.views is no setting of (MultiCrop|ShiftedPair)"
    ):
        build({**settings, "augment": {**augment, "views": 3}}, DATA, "a file", "data")
