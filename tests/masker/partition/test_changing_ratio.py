"""Ratios that change while a model is trained: set from the step alone, refused before the first,
announced.
"""

from functools import partial

import pytest
import torch
from torch import nn

from mim.batch import Batch
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.score.random import Random
from mim.masker.score.ranking import Ranking
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.optim.number import Cosine, Lines, described_schedules
from mim.part import Progress, parts_of
from mim.target.pixel import Pixel

UP = Cosine(0.25, 0.75)


def masked(partition, step, steps=10):
    partition.begin_step(Progress(step, steps, 5))
    return partition(Ranking(torch.rand(1, 16))).masked.shape[2]


def test_as_many_are_hidden_as_the_schedule_says():
    partition = FixedRatio(UP)
    assert partition.ratio == 0.25  # as at the first step, before a training says where it is
    counts = [masked(partition, step) for step in range(10)]
    assert counts == [FixedRatio(UP(Progress(step, 10, 5))).masked_count(16) for step in range(10)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (4, 12)


def test_a_resumed_training_goes_on_with_the_ratio_of_its_step():
    went, resumed = FixedRatio(UP), FixedRatio(UP)
    for step in range(8):
        masked(went, step)
    assert masked(resumed, 7) == masked(went, 7)
    assert resumed.ratio == went.ratio
    assert not resumed.state_dict()


def test_a_number_that_stays_is_what_it_was():
    fixed, changing = FixedRatio(0.5), FixedRatio(Lines([0.5], [0]))
    rank = torch.rand(3, 16)
    for step in (0, 9):
        for partition in (fixed, changing):
            partition.begin_step(Progress(step, 10, 5))
        assert fixed(Ranking(rank)).masked.equal(changing(Ranking(rank)).masked)
    assert fixed.schedules == {}


@pytest.mark.parametrize("kind", [AdaptiveRatio, partial(RandomRatio, unmasked=0.0)])
def test_ranges_of_ratios_move_too(kind):
    partition = kind(ratio=Cosine(0.3, 0.7), spread=Cosine(0.0, 0.1))
    key = torch.arange(4)
    seen = []
    for step in (0, 99):
        partition.begin_step(Progress(step, 100, 5))
        split = partition(Ranking(torch.rand(4, 100), torch.rand(4, 100), key=key))
        count = (
            split.masked_valid.expand(4, 1, -1).sum(-1)
            if split.masked_valid is not None
            else split.masked.shape[2]
        )
        seen.append(torch.as_tensor(count).float().mean().item() / 100)
    assert seen[0] == pytest.approx(0.3, abs=0.02)
    assert seen[1] == pytest.approx(0.7, abs=0.12)
    if kind is not AdaptiveRatio:
        assert partition.step == 99


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: FixedRatio(Cosine(0.0, 0.5)),
            r"FixedRatio.ratio=0\.0 does not fit; it should be more than 0 and less than 1",
        ),
        (lambda: AdaptiveRatio(Cosine(0.95, 0.5)), r"AdaptiveRatio got ratio=0\.95, spread=0\.1"),
        (lambda: RandomRatio(0.3, Cosine(0.4, 0.1)), r"RandomRatio got ratio=0\.3, spread=0\.4"),
    ],
)
def test_a_beginning_that_cannot_be_is_refused_when_it_is_built(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_an_end_that_cannot_be_is_refused_before_the_first_step():
    partition = FixedRatio(Lines([0.5, 1.5], [0, 4]))
    with pytest.raises(ValueError, match=r"FixedRatio\.ratio=1\.45"):
        partition.begin_step(Progress(0, 20, 5))


def test_what_changes_is_said_with_both_ends():
    model = nn.ModuleList(
        [FixedRatio(UP), FixedRatio(0.5), AdaptiveRatio(0.5, Lines([0.1, 0.2], [0, 1]))]
    )
    assert described_schedules(parts_of(model), 10, 5) == [
        "ratio of FixedRatio 0.25 to 0.737764 (Cosine)",
        "spread of AdaptiveRatio 0.1 to 0.2 (Lines)",
    ]


def test_compiled_code_is_not_compiled_at_each_step():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    masker = Masker(Random(), FixedRatio(UP))
    decoder = partial(Decoder, width=16, depth=1, heads=2)
    model, loss = (
        MAE(ViT(16, 4, 16, 1, 2), masker, decoder, {"pixel": 48}),
        Term(Pixel(Geometry.of(16, 4))),
    )
    batch = Batch.of(torch.rand(2, 3, 16, 16))

    def objective(batch):
        made = model(batch)
        return loss(made.prediction, batch.image, made.split)

    compiled = torch.compile(objective, backend=backend, fullgraph=True)
    for step in range(12):
        masker.partition.begin_step(Progress(step, 12, 5))
        assert torch.allclose(compiled(batch), objective(batch), atol=1e-5)
    assert len(graphs) == 2
