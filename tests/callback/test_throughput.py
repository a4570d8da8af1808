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
    trainer = SimpleNamespace(world_size=2, global_step=1, log_every_n_steps=100, precision="32-true")
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
