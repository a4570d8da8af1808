"""What all processes have, so that a batch is the same batch however many share it."""

from typing import Any, TypeVar

import torch
from torch import distributed

T = TypeVar("T")


def mean_over_processes(count: int, device: torch.device) -> float:
    """Count of this process, averaged over all and at least 1: DDP's mean of sums over it is the sum over the whole batch."""
    if is_alone():
        return max(1.0, float(count))
    total = torch.tensor(float(count), device=device)
    distributed.all_reduce(total)
    return max(1.0, total.item() / distributed.get_world_size())


def of_all_processes(results: list[T]) -> list[T]:
    """Results of all processes, of which each saw other images."""
    if is_alone():
        return results
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, results)
    return [result for part in parts for result in part]


def is_alone() -> bool:
    """Whether no other process trains along."""
    return not (distributed.is_available() and distributed.is_initialized())
