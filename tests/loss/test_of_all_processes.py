"""Two processes with half of the images each compare, normalise and centre as one with all of them
does; here they are threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, local

import pytest
import torch
from torch import Tensor

from mim.loss.centred import Centred
from mim.loss.contrast import keys_of_all, told_apart
from mim.loss.prototypes import PrototypeMatch
from mim.loss.view_contrast import ViewContrast
from mim.model.projector import BatchNorm
from mim.part import Progress
from mim.views import Seen, Shown


class Two:
    """Two threads, and what stands in them for functions of `mim.all_processes`."""

    def __init__(self):
        self.barrier, self.own, self.given = Barrier(2, timeout=60), local(), [Tensor(), Tensor()]

    def make(self, what: Callable) -> list:
        """What both make, each told its number."""

        def one(number):
            self.own.number = number
            return what(number)

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(one, range(2)))

    def both(self, x: Tensor) -> Tensor:
        """What both give, (2, ...)."""
        self.given[self.own.number] = x
        self.barrier.wait()
        both = torch.stack(self.given)
        self.barrier.wait()  # nobody gives anything else before
        return both

    def mean(self, x: Tensor) -> Tensor:
        return self.both(x).mean(0)

    def rows(self, x: Tensor) -> tuple[Tensor, int]:
        return self.both(x.detach()).flatten(0, 1), self.own.number * len(x)

    def all_reduce(self, x: Tensor) -> None:
        x.copy_(self.both(x.clone()).sum(0))


@pytest.fixture
def two(monkeypatch):
    """Both, once they are told to make something."""
    threads = Two()

    def make(what: Callable) -> list:
        for room in ("loss.centred", "model.projector"):
            monkeypatch.setattr(f"mim.{room}.is_alone", lambda: False)
        for room in ("loss.prototypes", "model.projector"):
            monkeypatch.setattr(f"mim.{room}.mean_of_all", threads.mean)
        monkeypatch.setattr("mim.loss.contrast.rows_of_all", threads.rows)
        monkeypatch.setattr("mim.loss.centred.distributed.all_reduce", threads.all_reduce)
        return threads.make(what)

    return make


def halves(x: Tensor) -> list[Tensor]:
    return list(x.chunk(2, dim=-2))


def test_vectors_find_their_own_keys_among_those_of_all(two):
    vector, key = torch.randn(2, 6, 4).unbind()
    keys, first = keys_of_all(key)
    alone = told_apart(vector, keys, first + torch.arange(6), 0.5)

    def told(number):
        keys, first = keys_of_all(halves(key)[number])
        return told_apart(halves(vector)[number], keys, first + torch.arange(3), 0.5)

    assert torch.allclose(torch.stack(two(told)).mean(), alone)


@pytest.mark.parametrize(
    "term", [ViewContrast(4, 0.5), PrototypeMatch(4, 5, sharpening=0.5)], ids=["MoCo v3", "MSN"]
)
def test_views_of_images_are_compared_alike(two, term):
    seen = 1 if isinstance(term, PrototypeMatch) else 2
    vector, key = torch.randn(2, 6, 4), torch.randn(seen, 6, 4)
    alone = term(Shown(vector), Seen(key))
    losses = two(lambda number: term(Shown(halves(vector)[number]), Seen(halves(key)[number])))
    assert torch.allclose(torch.stack(losses).mean(), alone)


def test_a_batch_norm_goes_by_the_images_of_all(two):
    norm, x = BatchNorm(4), torch.randn(6, 4)
    alone = norm(x)
    assert torch.allclose(torch.cat(two(lambda number: norm(halves(x)[number]))), alone, atol=1e-6)


def test_a_centre_moves_by_the_mean_of_what_all_saw(two):
    outputs = torch.randn(6, 4)

    def centre_after(outputs):
        part = Centred(4)
        part.observe(outputs.mean(0), len(outputs))
        part.after_step(part, Progress(0, 1, 1))
        return part.centre

    alone = centre_after(outputs)
    first, second = two(lambda number: centre_after(outputs[4 * number :][: 4 - 2 * number]))
    assert torch.allclose(first, alone)
    assert torch.allclose(second, alone)
