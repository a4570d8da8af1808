"""Verdict on a claim: a paired test over seeds, whose interval says what can be told."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from scipy import stats

Word = Literal["holds", "does not hold", "cannot be told here", "not all measured", "not measured"]
LEVEL = 0.95


class Difference(NamedTuple):
    """Difference of two arms, in points, seed by seed."""

    pairs: int
    mean: float
    low: float
    high: float
    p: float
    """Of Student's paired test that there is none, two-sided."""


def paired(better: Mapping[int, float], than: Mapping[int, float]) -> Difference | None:
    """Difference over the seeds that both have, with its 95 % interval; null for fewer than two.

    Args:
        better: by seed, in points.
        than: alike.
    """
    gaps = [better[seed] - than[seed] for seed in sorted(set(better) & set(than))]
    if len(gaps) < 2:
        return None
    mean, error = statistics.mean(gaps), statistics.stdev(gaps) / math.sqrt(len(gaps))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(gaps) - 1)) * error
    if error == 0:
        return Difference(len(gaps), mean, mean, mean, 0.0 if mean else 1.0)
    p = 2 * float(stats.t.sf(abs(mean) / error, len(gaps) - 1))
    return Difference(len(gaps), mean, mean - half, mean + half, p)


def verdict(difference: Difference | None, margin: float = 0.0) -> Word:
    """Word for a difference: it holds where the whole interval is above `-margin`, and does not
    where it is below.

    Args:
        difference: null where nothing was measured.
        margin: points by which the first may be worse; 0 for a claim that it is better.
    """
    if difference is None:
        return "not measured"
    if difference.low > -margin:
        return "holds"
    return "does not hold" if difference.high < -margin else "cannot be told here"


def together(words: Sequence[Word]) -> Word:
    """Verdict of a claim that several judges were asked about: what all say once all are measured,
    and that it cannot be told as soon as two disagree.
    """
    measured = set(words) - {"not measured"}
    if len(measured) > 1 or "cannot be told here" in measured:
        return "cannot be told here"
    if "not measured" in words:
        return "not all measured" if measured else "not measured"
    return words[0]
