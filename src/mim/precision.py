"""Precision in which targets are made and errors are summed, and the names of precisions."""

import torch
from torch import Tensor

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
"""By the names that settings give them."""


def at_least_single(x: Tensor) -> Tensor:
    """float32, or float64 where that is given: half precision is for the model, not for sums over
    its errors.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))
