"""A run that is resumed while a layer is frozen: the optimiser has nothing of it yet, in shares and
in a plain file.
"""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard

from mim.checkpoint.sharded import read_sharded
from mim.strategy.fsdp import FSDP

REST = {"global_step": 1, "loops": {}, "lr_schedulers": []}
pytestmark = pytest.mark.usefixtures("alone")


def built():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    fully_shard(model, mesh=dist.init_device_mesh("cpu", (1,)))
    strategy = FSDP()
    strategy._model = strategy._lightning_module = model
    strategy.optimizers = [torch.optim.AdamW(model.parameters(), lr=0.1)]
    return strategy


def step(strategy, frozen):
    """One step, of the first layer alone where the last is frozen."""
    strategy.optimizers[0].zero_grad()
    strategy.model(torch.ones(5, 3)).square().sum().backward()
    for parameter in strategy.model[1].parameters() if frozen else ():
        parameter.grad = None
    strategy.optimizers[0].step()


def saved(strategy, path):
    states = [strategy.optimizer_state(strategy.optimizers[0])]
    content = {"state_dict": strategy.lightning_module_state_dict(), "optimizer_states": states}
    strategy.save_checkpoint(REST | content, path)


@pytest.mark.parametrize("whole", [False, True])
def test_it_goes_on_as_if_nothing_had_happened(tmp_path, whole):
    run, file = built(), tmp_path / "last.ckpt"
    step(run, frozen=True)
    saved(run, file)
    if whole:
        content, file = read_sharded(file), tmp_path / "whole.ckpt"
        torch.save(content, file)
    resumed = built()
    resumed.load_checkpoint(file)
    for each in (run, resumed):
        step(each, frozen=False)
    state = resumed.optimizers[0].state
    assert [int(own["step"]) for own in state.values()] == [2, 2, 1, 1]
    for mine, theirs in zip(resumed.model.parameters(), run.model.parameters(), strict=True):
        assert torch.equal(mine.full_tensor(), theirs.full_tensor())
