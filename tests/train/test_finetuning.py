"""One step of fine-tuning: targets, mixing, erasing."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from timm.data.mixup import Mixup
from timm.data.random_erasing import RandomErasing
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

from mim.encoder.vit import ViT
from mim.model.classifier import Classifier
from mim.optim.schedule import Constant
from mim.pool.simple import Mean
from mim.train.finetune import Finetune


def build(**settings) -> Finetune:
    encoder = ViT(image_size=16, patch_size=8, width=8, depth=2, heads=2)
    fixed = {
        "optimizer": torch.optim.AdamW,
        "schedule": Constant(),
        "base_lr": 1e-3,
        "weight_decay": 0.05,
    }
    task = Finetune(
        partial(Classifier, encoder=encoder, pools={"mean": Mean()}),
        **(fixed | {"num_classes": 7} | settings),
    )
    task.model.head.weight.data.normal_()
    return task


@pytest.fixture
def labelled(batch_of):
    return batch_of(torch.randn(4, 3, 16, 16))._replace(label=torch.tensor([0, 3, 6, 3]))


def test_labels_are_smoothed_as_timm_does(labelled):
    task = build(label_smoothing=0.1)
    expected = LabelSmoothingCrossEntropy(0.1)(task(labelled), labelled.label)
    assert task.objective(labelled, labelled.label).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_mixed_targets_are_those_of_timm_and_are_smoothed_once(labelled):
    task = build(label_smoothing=0.1, mix=partial(Mixup, mixup_alpha=0.8))
    image, target = task.mix(labelled.image.clone(), labelled.label)
    assert target.sum(1).tolist() == pytest.approx([1, 1, 1, 1])
    assert target.min().item() == pytest.approx(0.1 / 7)
    mixed = labelled.with_image(image)
    expected = SoftTargetCrossEntropy()(task(mixed), target)
    assert task.objective(mixed, target).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_step_erases_and_mixes_what_it_learns_from(labelled, monkeypatch):
    seen = {}
    task = build(
        mix=partial(Mixup, mixup_alpha=0.8),
        erase=partial(RandomErasing, probability=1.0, mode="const"),
    )
    task._trainer = SimpleNamespace(datamodule=SimpleNamespace(batch_size=4), barebones=False)
    task.on_fit_start()
    monkeypatch.setattr(task, "log", lambda *_, **__: None)
    monkeypatch.setattr(
        task, "objective", lambda batch, target: seen.update(batch=batch, target=target)
    )
    monkeypatch.setattr(
        task, "mix", lambda image, label: (seen.update(erased=image) or image, label)
    )
    before = labelled.image.clone()
    task.training_step(labelled, 0)
    assert (seen["erased"] == 0).flatten(1).any(1).all()
    assert not seen["erased"].equal(before)


@pytest.mark.parametrize(("classes", "has"), [(0, "no labels"), (1, "one class only")])
def test_data_without_classes_to_tell_apart_is_refused(classes, has):
    with pytest.raises(ValueError, match=has):
        build(num_classes=classes)


def test_of_few_classes_no_top_5_is_told():
    assert set(build(num_classes=4).accuracy) == {"val/top1"}
    assert set(build(num_classes=6).accuracy) == {"val/top1", "val/top5"}
