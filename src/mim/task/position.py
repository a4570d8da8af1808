"""Where a training is: what Lightning counts, in steps of another number of batches."""

from collections.abc import Mapping
from typing import Any


def count_in_batches_of(loops: Mapping[str, Any], before: int, now: int) -> None:
    """Keep the place of a run whose steps are made of another number of batches: as many steps as were done.

    Args:
        loops: what Lightning saved of its loops; changed in place.
        before: accumulated batches of a step when it was saved, at the end of a step.
        now: those of the run that goes on.
    """
    batches: Any = loops["fit_loop"]["epoch_loop.batch_progress"]
    for counts in (batches["total"], batches["current"]):
        more = counts["processed"] // before * now - counts["processed"]
        counts.update({name: count + more for name, count in counts.items()})
