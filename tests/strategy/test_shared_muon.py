"""optimizer=muon where weights are cut over processes: its steps, its state, and a run that goes
on.
"""

import copy

import pytest
import torch
import torch.distributed as dist
from hydra.utils import instantiate
from torch import nn
from torch.distributed.fsdp import fully_shard

from mim.checkpoint.sharded import read_sharded
from mim.strategy.fsdp import FSDP

REST = {"global_step": 2, "loops": {}, "lr_schedulers": []}
pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def build(composed_command):
    """A model and what steps it, cut or whole; the same weights each time."""
    make = instantiate(composed_command("train.py optimizer=muon").optimizer)

    def built(cut):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 5))
        if cut:
            fully_shard(model, mesh=dist.init_device_mesh("cpu", (1,)))
        strategy = FSDP()
        strategy._model = strategy._lightning_module = model
        strategy.optimizers = [make(model.parameters(), lr=0.1)]
        return strategy

    return built


def stepped(strategy, steps):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        strategy.optimizers[0].zero_grad()
        strategy.model(torch.randn(7, 6, generator=generator)).square().mean().backward()
        strategy.optimizers[0].step()
    return strategy


def weights(strategy):
    state = strategy.model.state_dict()
    return {k: v.full_tensor() if hasattr(v, "full_tensor") else v for k, v in state.items()}


def saved(strategy, path):
    groups = strategy.optimizer_state(strategy.optimizers[0])
    content = {"state_dict": strategy.lightning_module_state_dict(), "optimizer_states": [groups]}
    strategy.save_checkpoint(REST | content, path)


def test_cut_weights_step_as_whole_ones(build):
    """Both in bfloat16, whose products are rounded in another order."""
    whole, cut = (weights(stepped(build(cut), 3)) for cut in (False, True))
    assert whole.keys() == cut.keys()
    for name, value in whole.items():
        assert torch.allclose(cut[name], value, atol=5e-3), name


def test_a_run_that_was_saved_goes_on_bit_for_bit(build, tmp_path):
    saved(stepped(build(True), 2), tmp_path / "last.ckpt")
    resumed = build(True)
    resumed.load_checkpoint(tmp_path / "last.ckpt")
    found, expected = weights(stepped(resumed, 2)), weights(stepped(stepped(build(True), 2), 2))
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_one_process_goes_on_from_the_shares_of_many_and_many_from_one(build, tmp_path):
    saved(stepped(build(True), 2), tmp_path / "shares.ckpt")
    whole = read_sharded(tmp_path / "shares.ckpt")
    one = build(False)
    one.model.load_state_dict(whole["state_dict"])
    one.optimizers[0].load_state_dict(copy.deepcopy(whole["optimizer_states"][0]))
    state = one.optimizers[0].state_dict()
    torch.save(
        REST | {"state_dict": one.model.state_dict(), "optimizer_states": [state]},
        tmp_path / "one.ckpt",
    )
    many = build(True)
    many.load_checkpoint(tmp_path / "one.ckpt")
    for strategy in (one, many):
        stepped(strategy, 1)
    found = weights(many)
    for name, value in weights(one).items():
        assert torch.allclose(found[name], value, atol=5e-3), name
