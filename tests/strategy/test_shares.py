"""A model cut over processes can be saved while its weights are gathered, as where a run stops
within a validation.
"""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from mim.strategy.fsdp import FSDP
from mim.strategy.sharding import unsharded


@pytest.fixture
def strategy(alone, monkeypatch):
    """One process of one, whose model is cut and has learned a step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    fully_shard(model, mesh=dist.init_device_mesh("cpu", (1,)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    strategy = FSDP()
    strategy._model = strategy._lightning_module = model
    strategy.optimizers = [optimizer]
    return strategy


def saved(strategy):
    state = strategy.optimizer_state(strategy.optimizers[0])
    moments = {
        f"{name} {moment}": value
        for name, held in state["state"].items()
        for moment, value in held.items()
    }
    return strategy.lightning_module_state_dict() | moments


def test_a_checkpoint_has_the_shares_also_while_weights_are_gathered(strategy):
    expected = saved(strategy)
    with unsharded(strategy.model), torch.no_grad():
        assert not any(isinstance(weight, DTensor) for weight in strategy.model.parameters())
        found = saved(strategy)
        assert not any(isinstance(weight, DTensor) for weight in strategy.model.parameters())
    assert list(found) == list(expected)
    assert all(
        isinstance(found[name], DTensor) == isinstance(expected[name], DTensor) for name in expected
    )
    assert all(torch.equal(_whole(found[name]), _whole(expected[name])) for name in expected)
    assert all(isinstance(weight, DTensor) for weight in strategy.model.parameters())


def _whole(value):
    return value.full_tensor() if isinstance(value, DTensor) else value
