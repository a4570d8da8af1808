"""A run that is asked to stop while held-out images are judged stops there: an ImageNet takes
minutes.
"""

import signal
from types import SimpleNamespace

import pytest
import torch

from mim.launch.errors import Interrupted
from mim.launch.signals import listener
from mim.run.interruption import Interruption
from mim.run.stoppable import until_stopped


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr(listener, "patient", True)
    monkeypatch.setattr(listener, "received", 0)
    return listener


class Trainer:
    """One of some processes; `others` are the signals that others have heard, `fewest` the held-out
    batches of any.
    """

    should_stop, is_last_batch, global_step = False, True, 6

    def __init__(self, batches, world_size=1, fewest=0, others=0):
        self.num_val_batches, self.world_size = [batches], world_size
        self.fewest, self.others = fewest, others
        self.saved, self.met, self.callbacks = [], 0, []
        self.strategy = SimpleNamespace(reduce=self.reduce)

    def save_checkpoint(self, file):
        self.saved.append(file)

    def reduce(self, value, reduce_op):
        self.met += 1
        return (
            torch.tensor(self.fewest)
            if reduce_op == "min"
            else torch.maximum(value, torch.tensor(self.others))
        )


MODULE = SimpleNamespace(device=torch.device("cpu"))


def judge(interruption, trainer, heard_at=None):
    """Batches that are judged."""
    interruption.on_validation_start(trainer, MODULE)
    for number in range(trainer.num_val_batches[0]):
        if number == heard_at:
            listener.received = signal.SIGUSR1
        interruption.on_validation_batch_start(trainer, MODULE, None, number)


def test_a_signal_is_heard_at_the_next_batch(patient, tmp_path):
    trainer = Trainer(100)
    with pytest.raises(Interrupted, match=r"stopped by SIGUSR1; continue with resume=.*last\.ckpt"):
        judge(Interruption(str(tmp_path / "last.ckpt")), trainer, heard_at=41)
    assert trainer.saved == [tmp_path / "last.ckpt"]
    assert trainer.met == 0


def test_nobody_is_stopped_who_was_not_asked(patient, tmp_path):
    trainer = Trainer(30)
    judge(Interruption(str(tmp_path / "last.ckpt")), trainer)
    assert not trainer.saved


def test_several_processes_agree_now_and_then(patient, tmp_path):
    trainer = Trainer(100, world_size=2, fewest=99)
    judge(Interruption(str(tmp_path / "last.ckpt"), agree_every_n_steps=10), trainer)
    assert trainer.met == 1 + 10
    trainer = Trainer(100, world_size=2, fewest=99, others=signal.SIGTERM)
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        judge(Interruption(str(tmp_path / "last.ckpt"), agree_every_n_steps=10), trainer)
    assert trainer.saved


@pytest.mark.parametrize("batches", [20, 21])
def test_they_meet_equally_often_also_where_one_has_a_batch_more(patient, tmp_path, batches):
    trainer = Trainer(batches, world_size=2, fewest=20)
    judge(Interruption(str(tmp_path / "last.ckpt"), agree_every_n_steps=10), trainer)
    assert trainer.met == 1 + 2


def looked_at(trainer, folder, heard_at=None):
    """Batches that a probe looks at between two epochs."""
    trainer.callbacks = [Interruption(str(folder / "last.ckpt"), agree_every_n_steps=10)]
    seen = []
    for batch in until_stopped(list(range(trainer.num_val_batches[0])), trainer, MODULE):
        seen.append(batch)
        if batch == heard_at:
            listener.received = signal.SIGTERM
    return seen


def test_a_probe_stops_at_the_next_batch(patient, tmp_path):
    trainer = Trainer(100)
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM; continue with resume=.*last\.ckpt"):
        looked_at(trainer, tmp_path, heard_at=7)
    assert trainer.saved == [tmp_path / "last.ckpt"]
    assert trainer.met == 0


def test_probes_of_several_processes_stop_together(patient, tmp_path):
    trainer = Trainer(100, world_size=2, fewest=99, others=signal.SIGTERM)
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        looked_at(trainer, tmp_path)
    assert trainer.saved


@pytest.mark.parametrize("batches", [20, 21])
def test_probes_meet_equally_often_and_see_every_batch(patient, tmp_path, batches):
    trainer = Trainer(batches, world_size=2, fewest=20)
    assert looked_at(trainer, tmp_path) == list(range(batches))
    assert trainer.met == 1 + 2
    assert not trainer.saved
