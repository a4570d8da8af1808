"""Cores of this process, on computers that say which they are and on those that do not."""

import os
import sys

import pytest

from mim.cores import available_cores
from mim.data.loaders import Loaders
from mim.data.steps import Steps


def test_cores_are_those_of_this_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5, 7}, raising=False)
    assert available_cores() == 3


@pytest.mark.parametrize(("told", "cores"), [(4, 4), (1, 1), (None, 1)])
def test_without_affinity_as_on_macos_they_are_those_of_the_computer(monkeypatch, told, cores):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "cpu_count", lambda: told)
    assert available_cores() == cores


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (6, 6), (64, 16)])
def test_as_many_processes_decode_pictures_one_at_least(monkeypatch, cores, workers):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert Loaders(Steps(None, 16, 2), 0, None, None)._workers() == workers
