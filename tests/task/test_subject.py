"""Which images can be judged by their classes."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.task.subject import Subject, needs_classes


def subject(*classes):
    data = SimpleNamespace(num_classes=len(classes), classes=list(classes))
    return Subject("a", nn.Identity(), data, lambda batch: batch, torch.no_grad, Path())


def test_two_classes_are_enough():
    assert needs_classes(subject("cat", "dog"), "task=knn") == 2


def test_no_labels_and_one_class_are_refused():
    with pytest.raises(ValueError, match="has no labels, and task=knn needs them"):
        needs_classes(subject(), "task=knn")
    with pytest.raises(ValueError, match=r"has one class only \(cat\), and task=knn has nothing to tell apart"):
        needs_classes(subject("cat"), "task=knn")
