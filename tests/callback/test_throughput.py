"""Speed is counted over training alone, and what is logged adds up."""

from types import SimpleNamespace

import pytest
import torch

import mim.callback.throughput as throughput
from mim.batch import blank


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(time=0.0)
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now.time)
    return now


def test_images_per_second_and_waiting_leave_out_the_first_steps_and_what_watches(clock):
    callback = throughput.Throughput(skip_first_steps=1)
    trainer = SimpleNamespace(
        world_size=2, global_step=1, log_every_n_steps=100, precision="32-true"
    )
    module = SimpleNamespace(device=torch.device("cpu"))
    batch = blank(10, (2, 2))
    for _ in range(2):
        clock.time += 100  # drawing pictures between epochs
        callback.on_train_epoch_start(trainer, module)
        for _ in range(2):
            clock.time += 1  # waiting
            callback.on_train_batch_start(trainer, module, batch, 0)
            clock.time += 3  # training
            callback.on_train_batch_end(trainer, module, None, batch, 0)
        callback.on_train_epoch_end(trainer, module)
    numbers = callback.numbers(module.device, trainer.world_size)
    assert numbers["throughput/images_per_second"] == pytest.approx(3 * 20 / (3 * 4))
    assert numbers["throughput/data_wait"] == pytest.approx(0.25)
    assert numbers["throughput/peak_memory_bytes"] > 0
    assert "throughput/flops_utilisation" not in numbers


def test_nothing_is_claimed_before_anything_was_measured(clock):
    assert throughput.Throughput().numbers(torch.device("cpu"), 1) == {}


def test_a_gpu_waits_by_its_own_clock_however_far_the_host_runs_ahead(clock, monkeypatch):
    gpu = SimpleNamespace(time=0.0)

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self, stream):
            gpu.time = self.time = max(gpu.time, clock.time)

        def elapsed_time(self, later):
            return 1000 * (later.time - self.time)

    def synchronize(device):
        clock.time = max(clock.time, gpu.time)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    callback = throughput.Throughput(skip_first_steps=0)
    logged = []
    module = SimpleNamespace(device=torch.device("cuda"), log_dict=logged.append)
    batch = blank(10, (2, 2))
    for waits in (0.5, 4.0):  # the loader needs less than a step of 3 s on the GPU, then more
        callback.__init__(skip_first_steps=0)
        monkeypatch.setattr(callback, "numbers", lambda *_: (callback._seconds, callback._waited))
        callback.on_train_epoch_start(None, module)
        for step in range(1, 5):
            clock.time += waits
            callback.on_train_batch_start(None, module, batch, 0)
            gpu.time = max(gpu.time, clock.time) + 3  # its queue; the host goes on at once
            callback.on_train_batch_end(
                SimpleNamespace(world_size=1, global_step=step, log_every_n_steps=4),
                module,
                None,
                batch,
                0,
            )
        callback.on_train_epoch_end(None, module)
    assert logged[0] == (pytest.approx(0.5 + 4 * 3), 0)
    assert logged[1] == (pytest.approx(4 * 4 + 3), pytest.approx(3 * 1))
