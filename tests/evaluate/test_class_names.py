"""A head is matched with a data set by the names of its classes, never by their position."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.batch import blank
from mim.evaluate.classifier import OwnClassifier, class_names
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint

PETS = ("ape", "bear", "cat")


class Scores(nn.Module):
    """Always the first of its classes."""

    def __init__(self, count):
        super().__init__()
        self.head = nn.Linear(1, count)

    def forward(self, batch):
        return torch.eye(self.head.out_features)[torch.zeros(len(batch.image), dtype=torch.int64)]


def subject(classes, label, names=(), scores=3):
    """Data of some classes, judged by a head of others."""
    batch = blank(len(label), (2, 2))._replace(label=torch.tensor(label))
    data = SimpleNamespace(
        classes=list(classes), num_classes=len(classes), val_dataloader=lambda limit: [batch]
    )
    model = Scores(scores)
    return EvaluatedCheckpoint(
        "run",
        model,
        data,
        lambda each: each,
        nullcontext,
        Path(),
        classifier=lambda: model,
        class_names=names,
    )


def test_classes_in_another_order_are_matched_by_their_names():
    right = OwnClassifier()([subject(("cat", "ape"), label=[1, 1, 0], names=PETS)])
    # the head says ape, which is number 1 of the data
    assert right["classifier/top1"] == pytest.approx(2 / 3)
    (row,) = right["table"]
    assert list(row["classes"]) == list(PETS)
    assert [row["classes"][name]["images"] for name in PETS] == [2, 0, 1]


def test_names_may_be_given_where_the_checkpoint_says_none():
    judged = OwnClassifier(classes=["cat", "ape", "bear"])(
        [subject(("ape", "cat"), label=[1, 1, 0])]
    )
    assert judged["classifier/top1"] == pytest.approx(2 / 3)


def test_synsets_of_imagenet_are_in_the_order_that_everyone_publishes():
    synsets = [f"n{number:08}" for number in range(1000)]
    assert class_names(subject(synsets[::-1], [0]), 1000) == synsets


@pytest.mark.parametrize(
    ("classes", "names", "said"),
    [
        (
            ("ape", "dog"),
            PETS,
            r"run tells 3 classes apart \(ape, bear, cat\), and SimpleNamespace has 1 others: dog",
        ),
        (
            PETS,
            (),
            r"does not say which, so they cannot be held against the 3 of SimpleNamespace \(ape, "
            r"bear, cat\)",
        ),
        (
            PETS,
            ("ape", "bear"),
            r"3 classes apart, and 2 different names are given for them \(ape, bear\)",
        ),
        (PETS, ("ape", "bear", "bear"), "and 2 different names are given"),
    ],
)
def test_other_names_are_refused_though_they_may_be_as_many(classes, names, said):
    with pytest.raises(ValueError, match=said):
        OwnClassifier()([subject(classes, [0], names)])
