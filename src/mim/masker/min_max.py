"""Stretch scores to [0, 1]."""

import math

from torch import Tensor


def min_max(score: Tensor) -> Tensor:
    """Smallest to 0 and largest to 1 along the last dimension; what is constant up to rounding becomes 0, never NaN.

    (..., L) -> (..., L).
    """
    low, high = score.aminmax(dim=-1, keepdim=True)
    span = high - low
    return (score - low) / span.masked_fill(span <= 1e-5 * high.abs(), math.inf)
