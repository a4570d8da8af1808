"""A signal ends a run once, and not the end of a run."""

import os
import signal
import threading

import pytest

from mim.installed import CONFIGS
from mim.launch import entry
from mim.launch.errors import Interrupted
from mim.launch.signals import SIGNALS, end, listen, listener, wait_for_the_step


def test_the_first_signal_is_raised_and_what_follows_is_the_same_wish(signals):
    listen()
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGUSR1)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_was_held_back_until_now_is_raised(signals):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)  # no other thread may hear it
        with pytest.raises(Interrupted, match="stopped by SIGUSR1"):
            listen()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_signal_that_comes_when_all_is_done_is_no_error(signals, monkeypatch, tmp_path):
    def killed_just_before():
        os.kill(os.getpid(), signal.SIGTERM)
        end()

    monkeypatch.setattr(entry, "end", killed_just_before)
    monkeypatch.setattr("sys.argv", ["train.py", "trainer=cpu", f"paths.run={tmp_path}"])
    for name in ("MIM_TRACEBACK", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, "0")
    with pytest.raises(SystemExit) as stop:
        entry.launch(lambda cfg: None, CONFIGS, "train")
    assert stop.value.code == 85


def test_in_training_signals_are_kept(signals):
    listen()
    wait_for_the_step()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert listener.received == signal.SIGUSR1


def test_at_the_end_only_a_second_ctrl_c_counts(signals):
    listen()
    end()
    for signum in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        os.kill(os.getpid(), signum)
    # Python itself takes handlers away before it ends
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
