"""Weights are pulled back to their start also where both are cut over processes."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from mim.encoder.vit import ViT
from mim.optim.to_start import DecayToStart


class Student(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = ViT(16, 4, 8, 2, 2), nn.Linear(8, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.encoder(image))


def trained(processes: int, strength: float = 0.5) -> list[Tensor]:
    """Weights after three steps; of one computer that cuts nothing up, where there are none."""
    torch.manual_seed(0)
    student = Student()
    start = DecayToStart(student, strength)
    if processes:
        mesh = dist.init_device_mesh("cpu", (processes,))
        for model in (student, start):  # as mim.strategy.fsdp cuts them
            fully_shard(model, mesh=mesh)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    start.begin(student)
    start.pull_after_steps(student, optimizer)
    for step in range(3):
        image = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(step))
        student(image).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    weights = [each.detach() for each in student.parameters()]
    assert all(isinstance(each, DTensor) == bool(processes) for each in weights)
    return [each.full_tensor() if isinstance(each, DTensor) else each for each in weights]


def check(rank: int, processes: int, meeting: Path) -> None:
    """Cut weights end where whole ones do, and elsewhere without the pull."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=processes
    )
    try:
        whole = trained(0)
        for one, other in zip(trained(processes), whole, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
        free = trained(processes, strength=1e-9)
        assert not torch.allclose(free[0], whole[0], atol=1e-6)
    finally:
        dist.destroy_process_group()


def test_in_shares_of_one_process(tmp_path):
    check(0, 1, tmp_path / "meeting")


@pytest.mark.slow
def test_in_shares_of_two_processes(tmp_path):
    mp.spawn(check, (2, tmp_path / "meeting"), nprocs=2)
