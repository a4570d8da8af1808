"""Who should be hidden."""

import math
from typing import NamedTuple

from torch import Tensor


class Ranking(NamedTuple):
    """An order of the patches of each image, highest hidden first."""

    rank: Tensor
    """(B, L) float, with noise."""
    salience: Tensor | None = None
    """(B, L) in [0, 1] without noise, where the score knows one."""
    key: Tensor | None = None
    """(B,) int64, from which a partition takes what it draws; the masker puts it here."""


def min_max(score: Tensor) -> Tensor:
    """Smallest to 0 and largest to 1 along the last dimension; what is constant up to rounding
    becomes 0, never NaN.

    (..., L) -> (..., L).
    """
    low, high = score.aminmax(dim=-1, keepdim=True)
    span = high - low
    return (score - low) / span.masked_fill(span <= 1e-5 * high.abs(), math.inf)
