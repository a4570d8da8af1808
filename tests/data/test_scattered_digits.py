import pytest
import torch
from torch.utils.data import DataLoader

from mim.augment.jitter import Jitter
from mim.augment.no_augment import NoAugment
from mim.data.digits import Digits
from mim.data.sampler import Rows
from mim.data.scattered_digits import ScatteredDigits
from mim.data.scenes import SceneBatches
from mim.dense import IGNORE, DenseBatch
from mim.draw import keys


def scenes(**settings) -> ScatteredDigits:
    given = {"image_size": 32, "batch_size": 4, "train_scenes": 12, "held_out": 5}
    return ScatteredDigits(NoAugment(), Jitter((0.75, 1.5), 0.0), **(given | settings))


@pytest.fixture(scope="module")
def drawn() -> ScatteredDigits:
    return scenes()


def test_scenes_are_always_the_same_and_held_out_ones_are_others(drawn):
    train, val = drawn.drawn
    assert len(train) == 12
    assert len(val) == 5
    assert torch.equal(train.image(3), scenes().drawn[0].image(3))
    assert not torch.equal(train.image(3), val.image(3))


def test_boxes_masks_and_label_maps_agree(drawn):
    train, _ = drawn.drawn
    for number in range(len(train)):
        label_map, objects = train.label_map(number), train.objects(number, (32, 32))
        assert objects.mask.sum(dim=0).max() <= 1  # digits cover no other
        assert torch.equal(objects.mask.any(dim=0), label_map > 0)
        assert 1 <= len(objects.box) <= 5
        for box, category, mask in zip(
            objects.box.int().tolist(), objects.category, objects.mask, strict=True
        ):
            assert (label_map[mask] == category + 1).all()
            x1, y1, x2, y2 = box
            assert mask[y1:y2, x1:x2].sum() == mask.sum()
            assert mask[:, x1].any()
            assert mask[y2 - 1].any()


def test_as_any_data_set_it_gives_images_without_labels(drawn):
    batch = next(iter(drawn.train_dataloader()))
    assert batch.image.shape == (4, 3, 32, 32)
    assert (batch.label == -1).all()
    assert drawn.classes == []


def test_label_maps_are_given_where_they_are_asked_for():
    data = scenes()
    data.learn_from("label_maps")
    assert data.num_classes == 11
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())))
    assert isinstance(batch, DenseBatch)
    assert batch.label_map.shape == (4, 32, 32)
    assert batch.objects == ()
    assert abs(batch.image.mean()) < 0.6
    inside = batch.label_map != IGNORE
    assert not batch.image.movedim(1, -1)[~inside].any()  # padding is 0 after normalising
    clean = next(iter(data.val_dataloader()))
    assert torch.equal(clean.label_map[0], data.held_out_scenes.label_map(0))
    assert torch.equal(data.splits.val.label_maps(torch.tensor([2, 0]))[1], clean.label_map[0])


def test_objects_are_given_where_they_are_asked_for_and_their_boxes_are_those_of_the_cut_masks():
    data = scenes()
    data.learn_from("objects")
    assert data.num_classes == 10
    batch = next(iter(data.train_dataloader()))
    assert len(batch.objects) == 4
    assert batch.label_map.shape == (4, 0, 0)
    for objects in batch.objects:
        assert objects.mask.shape[1:] == (32, 32)
        assert objects.box.min() >= 0
        assert objects.box.max() <= 32


def test_a_batch_is_the_same_for_any_split_of_it():
    data = scenes()
    data.learn_from("objects")
    train = data.splits.train
    index, key = torch.tensor([3, 5]), keys(0, 0, torch.arange(2))
    both = train[Rows(index, key)]
    alone = train[Rows(index[1:], key[1:])]
    assert torch.equal(both.image[1], alone.image[0])
    assert torch.equal(both.objects[1].mask, alone.objects[0].mask)


def test_batches_go_through_worker_processes():
    data = scenes()
    data.learn_from("objects")
    rows = [Rows(torch.tensor([3, 5]), keys(0, 0, torch.arange(2)))]
    (sent,) = DataLoader(data.splits.train, sampler=rows, batch_size=None, num_workers=1)
    assert isinstance(sent, DenseBatch)
    assert torch.equal(sent.objects[0].mask, data.splits.train[rows[0]].objects[0].mask)


def test_pictures_are_seen_as_often_as_they_should_be():
    train, _ = scenes().drawn
    repeats = torch.tensor([1.0] * 10 + [2.5, 4.0])
    batches = SceneBatches(train, "label_maps", None, 0, None, repeats)
    assert len(batches) == 16
    counts = torch.zeros(40, 12)
    for epoch in range(40):
        rows = Rows(torch.arange(16), keys(0, epoch, torch.arange(16)))
        counts[epoch] = torch.bincount(batches.numbers(rows), minlength=12)
    assert (counts[:, :9].mean(dim=0) - 16 / 16.5).abs().max() < 0.25
    assert abs(counts[:, 10].mean() - 2.5 * 16 / 16.5) < 0.4
    assert counts[:, 11].min() >= 3
    assert len(set(counts[:, 10].tolist())) > 1


def test_a_data_set_without_dense_labels_is_refused():
    with pytest.raises(ValueError, match="Digits has no label maps, and the task learns from them"):
        Digits(NoAugment(), 32, 4).learn_from("label_maps")
