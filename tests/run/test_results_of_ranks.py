"""Metrics of several processes are summed up where all of them are, and nowhere else."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.run.interruption import Interrupted
from mim.run.results import Results


class Trainer:
    """What `Results` asks of a trainer; metrics are summed up by all processes when they are asked
    for.
    """

    loggers, current_epoch, global_step = (), 1, 3
    datamodule = SimpleNamespace(splits=SimpleNamespace(val=range(8)))

    def __init__(self, rank, world_size):
        self.is_global_zero, self.world_size = rank == 0, world_size
        self.met = 0
        self._logger_connector = SimpleNamespace(_callback_metrics={"known": torch.tensor(0.5)})

    @property
    def callback_metrics(self):
        self.met += 1
        return {"known": torch.tensor(0.5), "summed": torch.tensor(2.0)}


def module():
    return SimpleNamespace(device=torch.device("cpu"), parameters=nn.Linear(1, 1).parameters)


@pytest.mark.parametrize("rank", [0, 1])
def test_at_the_end_every_process_sums_up_once(tmp_path, rank):
    trainer = Trainer(rank, 2)
    Results(str(tmp_path), []).on_train_end(trainer, module())
    assert trainer.met == 1
    assert (tmp_path / "results.json").exists() == (rank == 0)
    if rank == 0:
        assert json.loads((tmp_path / "results.json").read_text())["metrics"] == {
            "known": 0.5,
            "summed": 2.0,
        }


@pytest.mark.parametrize("error", [Interrupted("SIGTERM"), ValueError("broken")])
def test_where_a_process_stops_it_waits_for_no_other(tmp_path, error):
    trainer = Trainer(0, 2)
    Results(str(tmp_path), []).on_exception(trainer, module(), error)
    assert trainer.met == 0
    assert json.loads((tmp_path / "results.json").read_text())["metrics"] == {"known": 0.5}


def test_alone_a_process_that_stops_sums_up(tmp_path):
    trainer = Trainer(0, 1)
    Results(str(tmp_path), []).on_exception(trainer, module(), ValueError("broken"))
    assert json.loads((tmp_path / "results.json").read_text())["metrics"] == {
        "known": 0.5,
        "summed": 2.0,
    }
