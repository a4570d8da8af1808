"""Detection by two processes is that by one: losses, gradients, and average precision.

The two are threads here, whose sums and lists go through a barrier instead of a network; what torch
and Lightning do with real processes is tested in tests/distributed (make slow).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from threading import Barrier, local
from typing import Any, TypeVar

import pytest
import torch

from mim import all_processes
from mim.augment.jitter import Jitter
from mim.augment.no_augment import NoAugment
from mim.data.scattered_digits import ScatteredDigits
from mim.dense import DenseBatch, Objects
from mim.draw import keys, uniform
from mim.encoder.vit import ViT
from mim.head.average_precision import Detected
from mim.head.cascade import CascadeHeads
from mim.head.detections import Detections
from mim.head.detector import Detector
from mim.head.federated import Federated
from mim.head.masks import mask_targets
from mim.head.proposals import ProposalNetwork
from mim.head.regions import RegionHeads

T = TypeVar("T")
MANY = 100_000
"""Anchors and regions that are more than there are: their number is another for each image."""
PROPOSALS = partial(
    ProposalNetwork, anchor_sizes=(6, 8, 12, 16, 24), ratios=(1.0,), train=(100, 60), sampled=MANY
)
REGIONS = {
    "width": 8,
    "box_convolutions": 1,
    "mask_convolutions": 1,
    "fully_connected": 16,
    "sampled": MANY,
}
SHARES = [0, 3], [1, 2]
"""Images of each; it has other numbers of anchors, regions and masks than the other."""
HEADS = {
    "plain": partial(RegionHeads, **REGIONS, canonical_size=40),
    "federated": partial(RegionHeads, **REGIONS, canonical_size=40, federated=Federated(classes=4)),
    "cascade": partial(CascadeHeads, **REGIONS, canonical_size=40),
    "federated_cascade": partial(
        CascadeHeads, **REGIONS, canonical_size=40, federated=Federated(classes=4)
    ),
}


class Two:
    """Two threads that `mim.all_processes` takes for two processes."""

    def __init__(self) -> None:
        self.here, self.barrier, self.given = local(), Barrier(2, timeout=600), [None, None]

    def run(self, share: Callable[[int], T]) -> list[T]:
        """What each makes of its number."""

        def one(rank: int) -> T:
            self.here.rank = rank
            try:
                return share(rank)
            except BaseException:
                self.barrier.abort()
                raise

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(one, range(2)))

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        """Whether it is one of the two that asks."""
        return hasattr(self.here, "rank")

    def get_world_size(self) -> int:
        return 2

    def all_reduce(self, value: torch.Tensor) -> None:
        value.copy_(sum(self._both(value.clone())))

    def all_gather_object(self, parts: list[Any], value: Any) -> None:
        parts[:] = self._both(value)

    def _both(self, value: Any) -> list[Any]:
        self.given[self.here.rank] = value
        self.barrier.wait()
        both = list(self.given)
        self.barrier.wait()
        return both


@pytest.fixture
def two(monkeypatch) -> Two:
    made = Two()
    monkeypatch.setattr(all_processes, "distributed", made)
    return made


@pytest.fixture(scope="module")
def scenes() -> ScatteredDigits:
    made = ScatteredDigits(NoAugment(), Jitter((1.0, 1.0), 0.0), 32, 4, train_scenes=4, held_out=4)
    made.learn_from("objects")
    made.setup()
    return made


def some(batch: DenseBatch, numbers: list[int]) -> DenseBatch:
    """Some images of a batch."""
    objects = tuple(batch.objects[n] for n in numbers if batch.objects)
    columns = {name: getattr(batch, name)[numbers] for name in batch._fields if name != "objects"}
    return DenseBatch(**columns, objects=objects)


def detector(regions) -> Detector:
    encoder = ViT(32, 4, 16, 1, 2)
    model = Detector(
        encoder, PROPOSALS, regions, 10, image_size=32, window=3, global_blocks=1, width=8
    )
    if model.regions.federated:
        model.regions.federated.prepare(10)
    return model


def step(model: Detector, batch: DenseBatch):
    """Losses of some training images, and their gradients."""
    model = deepcopy(model)
    losses = model.losses(batch)
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("heads", HEADS)
def test_a_step_has_the_losses_and_gradients_of_one_process(two, scenes, heads):
    batch = scenes.on_after_batch_transfer(next(iter(scenes.train_dataloader())))
    model = detector(HEADS[heads])
    first, second = two.run(lambda rank: step(model, some(batch, SHARES[rank])))
    losses, gradients = step(model, batch)
    for name, loss in losses.items():
        assert ((first[0][name] + second[0][name]) / 2).item() == pytest.approx(
            loss.item(), rel=1e-5
        ), name
    assert gradients.keys() == first[1].keys() == second[1].keys()
    for name, gradient in gradients.items():
        assert torch.allclose(
            (first[1][name] + second[1][name]) / 2, gradient, rtol=1e-3, atol=1e-6
        ), name


def nearly(objects: Objects, number: int) -> Detections:
    """Detections of an image: its objects, some of them moved or of another category."""
    box, category = objects.box, objects.category
    draws = uniform(keys(5, 0, torch.full((1,), number)), 64, 0)[0][: 6 * len(box)].view(-1, 6)
    moved = (box + 6 * (draws[:, :1] > 0.4) * (draws[:, 2:] - 0.5)).clamp(0, 32)
    other = torch.where(draws[:, 1] > 0.8, (category + 1) % 10, category)
    return Detections(moved, draws[:, 0], other, mask_targets(objects.mask, moved, 28).float())


def judged(scenes: ScatteredDigits, numbers: list[int]):
    """Average precision of what was found in some held-out images, one batch after another."""
    held_out = scenes.held_out_scenes
    detected = Detected(held_out)
    for batch in scenes.val_dataloader():
        for place, number in enumerate(batch.index.tolist()):
            if number in numbers:
                objects = held_out.objects(number, held_out.size(number))
                detected.add([nearly(objects, number)], some(batch, [place]))
    return detected.row()


def test_average_precision_of_two_processes_is_that_of_one(two, scenes):
    first, second = two.run(lambda rank: judged(scenes, list(range(rank, 4, 2))))
    one = judged(scenes, [0, 1, 2, 3])
    assert first == second == one
    for kind in ("bbox", "segm"):
        assert 0.1 < one[kind]["AP"] < 0.9
    assert judged(scenes, [0, 2]) != one
