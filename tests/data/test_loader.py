"""Processes that read data outlive the signals that stop a run, and none that is dead or stuck is
waited for.
"""

import gc
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import time
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from torch.utils.data import Dataset
from torch.utils.data._utils import signal_handling

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.batch import Batch
from mim.data import hand_over, loader
from mim.data.hand_over import shared_flags
from mim.data.image_folder import ImageFolder
from mim.data.loader import Loader, Waiting, WorkerLost, beat
from mim.data.sampler import Rows


class Squares(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return torch.tensor(i * i)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_in_the_moment_in_which_they_are_started_does_not_kill_them(
    monkeypatch, signals, signum
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fork = os.fork

    def signalled_at_once():
        pid = fork()
        if pid:
            os.kill(pid, signum)
        else:  # before it runs any code of a loader
            while signum not in signal.sigpending():
                time.sleep(0.001)
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


class Slow(Dataset):
    """Makes a batch of what a function says."""

    def __init__(self, say):
        self.say = say

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return self.say(i)


def read(say, **settings):
    return list(
        Loader(
            Slow(say), batch_size=None, num_workers=1, multiprocessing_context="fork", **settings
        )
    )


def test_a_process_that_died_is_named_at_once(signals):
    with pytest.raises(
        WorkerLost,
        match=r"a process that reads data died \(.*\), often for want of memory: lower data",
    ):
        read(lambda i: os.kill(os.getpid(), signal.SIGKILL) if i == 2 else i)


class Impatient(Waiting):
    def __init__(self, asked=False):
        self.stuck_after, self.asked = (60 if asked else 1), asked

    def asked_to_stop(self):
        return self.asked


def freeze_at_two(i):
    if i == 2:
        os.kill(os.getpid(), signal.SIGSTOP)
    return torch.zeros(1000)


@pytest.mark.parametrize(("asked", "seconds"), [(False, 1), (True, 2)])
def test_a_process_that_does_nothing_is_not_waited_for(monkeypatch, asked, seconds):
    monkeypatch.setattr(loader, "_ASKED_TO_STOP", 2.0)
    with pytest.raises(
        WorkerLost, match=f"a process that reads data has read nothing for {seconds} s"
    ):
        read(freeze_at_two, waiting=Impatient(asked))


@pytest.mark.parametrize("signum", [signal.SIGSTOP, signal.SIGKILL])
def test_nor_for_the_rest_of_a_batch(signum):
    def half(connection, message, write=os.write):
        write(connection.fileno(), message[: len(message) // 2])
        while True:  # a stop may take a moment
            os.kill(os.getpid(), signum)

    def send_half(i):
        if i == 2:
            multiprocessing.connection.Connection._send = half  # in this process alone
        return i

    waiting = Impatient()
    waiting.stuck_after = 1 if signum == signal.SIGSTOP else 1000
    with pytest.raises(WorkerLost, match=r"has read nothing for 1 s|died"):
        read(send_half, waiting=waiting)


def no_connection():
    raise ConnectionResetError(104, "Connection reset by peer")


class Lost:
    """A batch whose memory cannot be had, because the process that made it dies."""

    def __reduce__(self):
        return no_connection, ()


@pytest.fixture
def torch_listens(monkeypatch, signals):
    """torch puts its handler of SIGCHLD in, as it does once in a process, and in each test here."""
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)


def kill_all():
    """Kill what reads data, and hear of it."""
    for process in multiprocessing.active_children():
        process.kill()
        # it stays to be looked at by whoever else hears of it
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


class Saving(Waiting):
    """Saves a checkpoint; meanwhile all processes die."""

    def lost(self):
        kill_all()
        raise KeyError("saved")


def test_a_death_that_is_heard_late_does_not_disturb_what_saves(torch_listens):
    with pytest.raises(KeyError, match="saved"):
        read(lambda i: Lost(), waiting=Saving())


def test_a_death_is_heard_by_who_waits_for_a_batch_alone(torch_listens):
    settings = {"batch_size": None, "num_workers": 2, "prefetch_factor": 1}
    batches = iter(Loader(Slow(float), multiprocessing_context="fork", **settings))
    assert next(batches) == 0
    kill_all()
    with pytest.raises(WorkerLost, match="died"):
        list(batches)
    assert signal.getsignal(signal.SIGCHLD).__module__.startswith("torch.")


class Stops(Impatient):
    def lost(self):
        raise KeyError("stopped")


@pytest.mark.parametrize(
    ("signum", "waiting", "kind"),
    [
        (signal.SIGSTOP, Impatient(), WorkerLost),
        (signal.SIGKILL, Waiting(), WorkerLost),
        (signal.SIGKILL, Stops(asked=True), KeyError),
    ],
)
def test_between_two_epochs_neither(monkeypatch, signum, waiting, kind):
    """Processes that live on answer that they begin anew; before this was watched, it was waited
    for for ever.
    """
    batches = Loader(
        Slow(float),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="fork",
        persistent_workers=True,
    )
    assert list(batches) == list(batches) == [0, 1, 2, 3]
    batches.waiting = waiting  # from here on, for all else may take its time
    os.kill(batches._iterator._workers[0].pid, signum)
    why = "has read nothing for 1 s" if signum == signal.SIGSTOP else "died"
    with pytest.raises(kind, match=f"a process that reads data {why}|stopped"):
        list(batches)


@pytest.mark.slow
def test_a_slow_process_that_reads_is_waited_for():
    def slowly(i):
        for _ in range(4):
            time.sleep(0.7)
            beat()
        return i

    assert len(read(slowly, waiting=Impatient())) == 4


@pytest.mark.slow
def test_time_in_which_no_batch_is_wanted_does_not_count():
    batches = Loader(
        Slow(lambda i: i),
        Impatient(),
        batch_size=None,
        num_workers=1,
        multiprocessing_context="fork",
    )
    for _ in batches:
        time.sleep(1.6)


@pytest.mark.slow
def test_an_error_of_what_is_read_is_no_death():
    def broken(i):
        raise OSError("no such picture")

    kind = None
    try:
        read(broken)
    except OSError as error:
        kind = type(error)
    gc.collect()  # the error holds on to the loader, and that to its process
    assert kind is OSError


def no_room(*_):
    raise RuntimeError(
        "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"
    )


def batches(pictures, **settings):
    data = ImageFolder(str(pictures("all", 40)), CropFlip(TorchvisionBoxes()), 16, 4, **settings)
    return list(data.train_dataloader())


@pytest.mark.filterwarnings("ignore:This process")
def test_without_room_in_shared_memory_batches_come_through_a_pipe_and_one_line_says_so(
    pictures, monkeypatch
):
    alone = batches(pictures, num_workers=0)
    monkeypatch.setattr(torch.Tensor, "share_memory_", no_room)
    # nor does anything else find any
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", no_room)
    monkeypatch.setattr(torch.UntypedStorage, "_share_filename_cpu_", no_room)
    with pytest.warns(
        UserWarning, match=r"\(/dev/shm\) has no room for a batch, .* docker run --shm-size=8g"
    ) as said:
        piped = batches(pictures, num_workers=2)
    # of one place, so it is said once
    assert len({w.filename for w in said if "/dev/shm" in str(w.message)}) == 1
    assert all(
        torch.equal(a, b)
        for ours, theirs in zip(piped, alone, strict=True)
        for a, b in zip(ours.tensors, theirs.tensors, strict=True)
    )
    assert piped[0].image.add_(1).shape == (4, 3, 16, 16)  # it can be written to


def test_flags_are_shared_also_without_shared_memory(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "share_memory_", no_room)
    flags = shared_flags(5)
    child = multiprocessing.get_context("fork").Process(target=flags.__setitem__, args=(3, True))
    child.start()
    child.join()
    assert flags.tolist() == [False, False, False, True, False]
    assert len(shared_flags(0)) == 0


def test_a_batch_is_handed_over_as_it_is_where_nobody_receives_it():
    batch = Batch.of(torch.rand(3, 3, 2, 2))
    assert hand_over.hand_over(batch) is batch
    assert not batch.image.is_shared()


def test_what_a_process_is_told_needs_no_shared_memory():
    rows = Rows(torch.arange(3), torch.arange(3) * 7)
    again = pickle.loads(ForkingPickler.dumps(rows))
    assert isinstance(again, Rows)
    assert all(torch.equal(a, b) for a, b in zip(again, rows, strict=True))


def test_a_process_that_is_started_anew_gets_a_copy_of_everything(pictures):
    """As on macOS, where processes are not forked."""
    data = ImageFolder(str(pictures("all", 12)), CropFlip(TorchvisionBoxes()), 16, 4, num_workers=0)
    rows = next(iter(data.train_dataloader().sampler))
    again = pickle.loads(ForkingPickler.dumps(data.training))
    assert all(
        torch.equal(a, b)
        for a, b in zip(again[rows].tensors, data.training[rows].tensors, strict=True)
    )
    assert loader._begin.__module__ == "mim.data.loader"
