"""Trackio is told settings, numbers and pictures; a stand-in of the package listens."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from mim.logger import trackio as ours
from mim.logger import wandb as ours_of_wandb
from mim.logger.trackio import Trackio


@pytest.fixture
def board(monkeypatch):
    """A stand-in of trackio, with the arguments of its version 0.43, that keeps what it is told."""
    module, told = ModuleType("trackio"), SimpleNamespace(runs=[], logged=[], finished=0)

    class Run:
        def log(self, metrics, step=None):
            told.logged.append((metrics, step))

        def finish(self):
            told.finished += 1

    def init(
        project, name=None, group=None, space_id=None, config=None, resume="never", embed=True
    ):
        told.runs.append(
            {"project": project, "name": name, "group": group, "config": config, "resume": resume}
        )
        return Run()

    module.init, module.Image = init, lambda file: f"picture {file}"
    monkeypatch.setitem(sys.modules, "trackio", module)
    monkeypatch.setattr(ours, "find_spec", lambda name: module)
    return told


def test_it_is_told_settings_then_numbers_then_pictures_and_finished_once(board):
    logger = Trackio("runs/mae_digits/today", group="ratios")
    logger.log_hyperparams({"epochs": 3})
    logger.log_metrics({"train/loss": 0.5}, 7)
    logger.log_image("reconstruction", ["a.png"], step=8)
    logger.finalize("success")
    logger.finalize("success")
    expected = {
        "project": "mim",
        "name": "mae_digits_today",
        "group": "ratios",
        "config": {"epochs": 3},
    }
    assert board.runs == [expected | {"resume": "allow"}]
    assert board.logged == [({"train/loss": 0.5}, 7), ({"reconstruction": "picture a.png"}, 8)]
    assert board.finished == 1


def test_nothing_is_opened_before_there_is_something_to_say(board):
    Trackio("runs/mae_digits/today").finalize("failed")
    assert not board.runs


def test_without_the_package_it_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(ours, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"logger=trackio needs trackio: pip install trackio"):
        Trackio("runs/a/b")


def test_so_is_the_other_board(monkeypatch):
    monkeypatch.setattr(ours_of_wandb, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"logger=wandb needs wandb: pip install wandb"):
        ours_of_wandb.Wandb("runs/a/b")
