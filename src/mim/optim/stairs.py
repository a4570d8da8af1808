"""Number that goes in stairs: it stays for a share of the training, and then is another."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from mim.part import Progress


class Stairs:
    """Number in stages, such as the side of images that grow (erow/FastSSL, util/dres.py:
    DynamicMasking).

    Args:
        values: of the stages.
        begin: share of the training at which each begins, ascending from 0; half of all steps is
            0.5.

    Raises:
        ValueError: where stages and shares do not go together.
    """

    def __init__(self, values: Sequence[float], begin: Sequence[float]):
        if (
            len(values) != len(begin)
            or not values
            or begin[0] != 0
            or any(a >= b for a, b in pairwise(begin))
            or begin[-1] >= 1
        ):
            raise ValueError(
                f"Stairs got values={list(values)}, begin={list(begin)}; needs as many shares as "
                "values, ascending from 0 and "
                "below 1, e.g. values=[0.5,1.0] begin=[0,0.5]"
            )
        self.values, self.begin = list(values), list(begin)

    def __call__(self, progress: Progress) -> float:
        """Value at a step."""
        return self.values[bisect_right(self.begin, progress.share) - 1]
