"""What all processes have between them: a batch is the same batch however many share it."""

from typing import Literal, TypeVar

import torch
from torch import Tensor, distributed

# torch names no other that gradients pass
from torch.distributed._functional_collectives import all_reduce

T = TypeVar("T")


def is_alone() -> bool:
    """Whether no other process trains along."""
    return (
        not (distributed.is_available() and distributed.is_initialized())
        or distributed.get_world_size() == 1
    )


def mean_of_all(x: Tensor) -> Tensor:
    """Mean of a tensor over all processes, of which each has as many images; gradients flow back to
    each.
    """
    return _of_all(x, "avg")


def sum_of_all(x: Tensor) -> Tensor:
    """Sum of a tensor over all processes; gradients flow back to each."""
    return _of_all(x, "sum")


def _of_all(x: Tensor, how: Literal["avg", "sum"]) -> Tensor:
    world = distributed.group.WORLD
    return x if is_alone() or world is None else all_reduce(x, how, world)


def rows_of_all(x: Tensor) -> tuple[Tensor, int]:
    """Rows of all processes, (N, ...) -> (W * N, ...), and the number of the first own one; no
    gradient passes.
    """
    if is_alone():
        return x.detach(), 0
    rows = x.new_empty(distributed.get_world_size() * len(x), *x.shape[1:])
    distributed.all_gather_into_tensor(rows, x.detach().contiguous())
    return rows, distributed.get_rank() * len(x)


def mean_over_processes(count: int, device: torch.device) -> float:
    """Count of this process, averaged over all and at least 1: DDP's mean of sums over it is the
    sum over the whole batch.
    """
    if is_alone():
        return max(1.0, float(count))
    total = torch.tensor(float(count), device=device)
    distributed.all_reduce(total)
    return max(1.0, total.item() / distributed.get_world_size())


def of_all_processes(results: list[T]) -> list[T]:
    """Results of all processes, of which each saw other images."""
    if is_alone():
        return results
    parts: list[list[T]] = [[]] * distributed.get_world_size()
    distributed.all_gather_object(parts, results)
    return [result for part in parts for result in part]
