"""Training tells its parts when what happens: also where steps are accumulated, and where a run
goes on.
"""

import itertools

import pytest
import torch
from torch import nn

from mim.part import Part
from mim.train.pretrain import Pretrain


class Told(Part, nn.Module):
    """Writes down what it is told, and the first weight of the student at that moment."""

    heard: list[tuple]

    def __init__(self):
        super().__init__()
        Told.heard = []

    def weight(self, student):
        return next(p for p in student.parameters() if p.requires_grad).detach().clone()

    def begin(self, student):
        self.heard.append(("begin",))

    def begin_epoch(self, epoch):
        self.heard.append(("epoch", epoch))

    def begin_step(self, progress):
        self.heard.append(("step", progress.step))

    def after_step(self, student, progress):
        self.heard.append(("after", progress.step, self.weight(student)))


@pytest.fixture
def told(monkeypatch):
    """Every pre-training has one more part."""
    build = Pretrain.__init__

    def with_part(self, *arguments, **named):
        build(self, *arguments, **named)
        self.told = Told()

    monkeypatch.setattr(Pretrain, "__init__", with_part)
    return lambda: [said[:2] for said in Told.heard]


FEW = ("data.batch_size=449", "callback=[checkpoint,interruption]")  # three batches an epoch


def test_every_moment_once_and_in_order(train, told):
    train(*FEW)
    steps = [("step", 0), ("after", 0), ("step", 1), ("after", 1), ("step", 2), ("after", 2)]
    more = [("step", 3), ("after", 3), ("step", 4), ("after", 4), ("step", 5), ("after", 5)]
    assert told() == [("begin",), ("epoch", 0), ("epoch", 0), *steps, ("epoch", 1), *more]
    weights = [said[2] for said in Told.heard if said[0] == "after"]
    # the optimiser was there before
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(weights))


def test_accumulated_batches_are_one_step(train, told):
    train(*FEW, "trainer.accumulate_grad_batches=3")
    assert [said for said in told() if said[0] == "after"] == [("after", 0), ("after", 1)]


def test_a_resumed_run_begins_nothing_anew_and_says_where_it_is(train, stopped_after, told):
    folder = stopped_after(4, *FEW).folder
    train(*FEW, f"resume={folder}")
    assert told() == [("epoch", 1), ("step", 4), ("after", 4), ("step", 5), ("after", 5)]
