"""Processes that were forked train as those that were started: torch's pool of threads is there
before threads of autograd ask for it, all at once.
"""

import pytest
import torch
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy

from mim.strategy.ddp import DDP
from mim.strategy.fsdp import FSDP


@pytest.mark.parametrize(
    ("strategy", "parent"), [(DDP, DDPStrategy), (FSDP, ModelParallelStrategy)]
)
def test_the_pool_of_threads_is_made_before_anything_else(strategy, parent, monkeypatch):
    done = []
    monkeypatch.setattr(torch, "set_num_threads", lambda count: done.append(count))
    monkeypatch.setattr(parent, "setup_environment", lambda self: done.append("group"))
    monkeypatch.setattr(strategy, "world_size", 1)
    monkeypatch.setattr("mim.strategy.fsdp.init_device_mesh", lambda *_, **__: None)
    monkeypatch.setattr(strategy, "root_device", torch.device("cpu"))
    strategy().setup_environment()
    assert done == [torch.get_num_threads(), "group"]
