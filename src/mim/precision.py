"""Precision in which targets are made and errors are summed."""

import torch
from torch import Tensor


def at_least_single(x: Tensor) -> Tensor:
    """float32, or float64 where that is given: half precision is for the model, not for sums over its errors."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
