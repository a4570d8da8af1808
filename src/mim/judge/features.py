"""What a classifier learns from and is asked about."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor


class Features(NamedTuple):
    """Features of a data set, in the order of its images."""

    feature: Tensor
    """(N, D) float32."""
    label: Tensor
    """(N,) int64."""


Judge = Callable[[Features, Tensor, int], Mapping[str, Tensor]]
"""Labelled features, queries (M, D) and the number of classes -> class scores (M, classes) of each of its settings, by name."""
