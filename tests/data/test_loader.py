"""Processes that read data outlive the signals that stop a run, from their first moment on."""

import os
import signal
import time

import pytest
import torch
from torch.utils.data import Dataset

from mim.data.loader import Loader


class Squares(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return torch.tensor(i * i)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_in_the_moment_in_which_they_are_started_does_not_kill_them(monkeypatch, signals, signum):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fork = os.fork

    def signalled_at_once():
        pid = fork()
        if pid:
            os.kill(pid, signum)
        else:
            time.sleep(0.1)  # long before it runs any code of a loader
        return pid

    monkeypatch.setattr(os, "fork", signalled_at_once)
    loader = Loader(Squares(), batch_size=None, num_workers=1, multiprocessing_context="fork")
    assert [int(each) for each in loader] == [i * i for i in range(8)]


def test_one_that_comes_to_the_trainer_meanwhile_is_heard_once_they_run(monkeypatch, signals):
    heard, fork = [], os.fork
    signal.signal(signal.SIGTERM, lambda *_: heard.append(1))

    def signalled_before():
        os.kill(os.getpid(), signal.SIGTERM)
        return fork()

    monkeypatch.setattr(os, "fork", signalled_before)
    loader = Loader(Squares(), batch_size=None, num_workers=1, multiprocessing_context="fork")
    assert len(list(loader)) == 8
    assert heard == [1]
