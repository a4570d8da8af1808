"""Means over what all processes draw, so that a batch is the same batch however many share it."""

import torch


def mean_over_processes(count: int, device: torch.device) -> float:
    """Count of this process, averaged over all and at least 1: DDP's mean of sums over it is the sum over the whole batch."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return max(1.0, float(count))
    total = torch.tensor(float(count), device=device)
    torch.distributed.all_reduce(total)
    return max(1.0, total.item() / torch.distributed.get_world_size())
