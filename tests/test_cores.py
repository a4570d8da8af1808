"""Cores of this process, on computers that say which they are and on those that do not."""

import os
import sys

import pytest

from mim.augment.no_augment import NoAugment
from mim.cores import available_cores
from mim.data.image_folder import ImageFolder


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
    assert ImageFolder("anywhere", NoAugment(), 16, 2)._loaders._workers() == workers
