"""Gradients cut down one by one."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from mim.optim.clip import ClipEachParameter


def test_each_gradient_is_cut_to_the_norm_by_itself_and_a_shorter_one_stays():
    """iBOT, utils.py: clip_gradients multiplies by clip / (norm + 1e-6) where that is below 1."""
    long, short, none = (nn.Parameter(torch.zeros(4)) for _ in range(3))
    long.grad, short.grad = torch.full((4,), 3.0), torch.full((4,), 0.25)
    ClipEachParameter(3.0)([long, short, none])
    assert long.grad.tolist() == pytest.approx([3 * 3 / (6 + 1e-6)] * 4)
    assert short.grad.tolist() == [0.25] * 4
    assert none.grad is None


def _cut_in_two(rank, store):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.manual_seed(0)
    whole, image = nn.Linear(6, 3), torch.randn(8, 6)
    cut = fully_shard(copy.deepcopy(whole), mesh=init_device_mesh("cpu", (2,)))
    (50 * cut(image[4 * rank : 4 * rank + 4]).square().mean()).backward()
    (50 * whole(image).square().mean()).backward()
    for model in (cut, whole):
        ClipEachParameter(0.7)(model.parameters())
    for ours, theirs in zip(cut.parameters(), whole.parameters(), strict=True):
        assert ours.grad.full_tensor().allclose(theirs.grad, atol=1e-6)
        assert theirs.grad.norm().item() == pytest.approx(0.7, abs=1e-5)
    dist.destroy_process_group()


def test_a_gradient_that_two_processes_share_is_cut_to_the_norm_of_the_whole(tmp_path):
    mp.spawn(_cut_in_two, (str(tmp_path / "store"),), nprocs=2)
