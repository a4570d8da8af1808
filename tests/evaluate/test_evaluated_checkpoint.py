"""Which images can be judged by their classes."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint, check_labels, needs_classes


def subject(*classes):
    data = SimpleNamespace(num_classes=len(classes), classes=list(classes))
    return EvaluatedCheckpoint("a", nn.Identity(), data, lambda batch: batch, torch.no_grad, Path())


def test_two_classes_are_enough():
    assert needs_classes(subject("cat", "dog"), "evaluate=knn") == 2


def test_no_labels_and_one_class_are_refused():
    with pytest.raises(ValueError, match="has no labels, and evaluate=knn needs them"):
        needs_classes(subject(), "evaluate=knn")
    with pytest.raises(
        ValueError, match=r"has one class only \(cat\), and evaluate=knn has nothing to tell apart"
    ):
        needs_classes(subject("cat"), "evaluate=knn")


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_label_that_the_head_has_no_score_for_is_refused(wrong):
    check_labels(torch.tensor([0, 2]), 3)
    with pytest.raises(
        ValueError,
        match=f"an image is labelled {wrong}, and a head of 3 classes has scores for 0 to 2 only",
    ):
        check_labels(torch.tensor([0, 2, wrong]), 3)
