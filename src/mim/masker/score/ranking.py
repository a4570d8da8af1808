"""Who should be hidden."""

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
