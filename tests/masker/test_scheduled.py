import pytest
import torch

from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.scheduled import Scheduled
from mim.masker.score.random import Random
from mim.masker.score.salience import Salience


@pytest.fixture
def scheduled():
    return Scheduled(
        Masker(Random(), FixedRatio(0.75)), Masker(Salience(), ThrowMiddle(0.5, 0.25)), at_epoch=40
    )


def test_it_is_the_first_masker_until_the_epoch_and_the_other_from_then_on(scheduled, batch_of):
    batch, tokens = batch_of(torch.zeros(2, 3, 1, 1)), torch.randn(2, 16, 8)
    for epoch, masker in [
        (0, scheduled.first),
        (39, scheduled.first),
        (40, scheduled.then),
        (41, scheduled.then),
    ]:
        scheduled.begin_epoch(epoch)
        assert scheduled.needs_tokens == (masker is scheduled.then)
        assert scheduled.kind == masker.kind
        assert torch.equal(
            scheduled(batch, (4, 4), tokens).masked, masker(batch, (4, 4), tokens).masked
        )


def test_it_may_go_back_as_a_resumed_run_does(scheduled):
    scheduled.begin_epoch(50)
    scheduled.begin_epoch(10)
    assert scheduled.current is scheduled.first


def test_it_may_change_at_once(scheduled):
    assert Scheduled(scheduled.first, scheduled.then, at_epoch=0).current is scheduled.then


def test_it_compiles_and_compiles_again_only_for_the_change(scheduled, batch_of):
    batch, tokens = batch_of(torch.zeros(2, 3, 1, 1)), torch.randn(2, 16, 8)
    compiles = []

    def backend(graph, inputs):
        compiles.append(graph)
        return graph.forward

    compiled = torch.compile(
        lambda: scheduled(batch, (4, 4), tokens).masked, backend=backend, fullgraph=True
    )
    for epoch in (0, 1, 2, 40, 41, 42):
        scheduled.begin_epoch(epoch)
        assert torch.equal(compiled(), scheduled(batch, (4, 4), tokens).masked)
    assert len(compiles) == 2


def test_an_epoch_before_the_first_is_refused(scheduled):
    with pytest.raises(ValueError, match="at_epoch=-1 does not fit; it should be at least 0"):
        Scheduled(scheduled.first, scheduled.then, at_epoch=-1)
