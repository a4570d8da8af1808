import pytest
import torch

from mim.dense import IGNORE
from mim.evaluate.overlap import Overlap


def test_overlaps_are_mmsegmentations(golden):
    reference = golden("upernet")
    classes = [str(number) for number in range(reference.meta["num_classes"])]
    overlap = Overlap(classes)
    for predicted, label_map in zip(
        reference["eval.segmentation"], reference["labels"], strict=True
    ):
        overlap.update(predicted, label_map)
    row = overlap.row()
    assert row["miou"] == pytest.approx(reference.meta["mIoU"], rel=1e-6)
    assert row["pixel_accuracy"] == pytest.approx(reference.meta["aAcc"], rel=1e-6)
    for name, iou in zip(classes, reference["eval.iou"].tolist(), strict=True):
        ours = row["classes"][name]["iou"]
        assert ours == pytest.approx(iou, rel=1e-6) or (ours is None and iou != iou)


def test_a_class_that_is_nowhere_counts_nowhere():
    overlap = Overlap(["a", "b", "c"])
    overlap.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, IGNORE]))
    row = overlap.row()
    assert row["classes"] == {"a": {"iou": 0.5}, "b": {"iou": 0.5}, "c": {"iou": None}}
    assert row["miou"] == 0.5
    assert row["pixel_accuracy"] == pytest.approx(2 / 3)


def test_nothing_but_ignored_pixels_is_refused():
    overlap = Overlap(["a", "b"])
    overlap.update(torch.tensor([0, 1]), torch.tensor([IGNORE, IGNORE]))
    with pytest.raises(ValueError, match=r"every pixel of the held-out .* see data\.ignore"):
        overlap.row()
