"""Chains of faults that once went wrong, each of its own kind;
`python -m tests.faults --chains 100` draws others.
"""

from signal import SIGINT, SIGKILL, SIGTERM, SIGUSR1

import pytest

from tests.faults.chains import WHILE_SAVING, Blow, chain

CASES = {
    "killed at the end of an epoch, whose last step is saved, then stopped within the next": (
        "MAE",
        [Blow(SIGKILL, "while a picture is drawn"), Blow(SIGINT, "after a step", 2)],
    ),
    "killed likewise, and again": (
        "MAE",
        [Blow(SIGKILL, "while a picture is drawn"), Blow(SIGKILL, "after a step", 2)],
    ),
    "killed at the end of an epoch, then stopped while held-out images are judged again": (
        "fine-tuning with mixup",
        [
            Blow(SIGKILL, "once an epoch has ended", 2),
            Blow(SIGUSR1, "while held-out images are judged"),
        ],
    ),
    "killed at the very end, three times": ("MAE", [Blow(SIGKILL, "at the very end")] * 3),
    "stopped at the second step, while that is saved again, and at the next step": (
        "MAE",
        [
            Blow(SIGTERM, "after a step", 2),
            Blow(SIGUSR1, WHILE_SAVING),
            Blow(SIGUSR1, "after a step"),
        ],
    ),
    "killed before the first checkpoint": (
        "MAE",
        [Blow(SIGKILL, "after a step"), Blow(SIGKILL, "in a step", 2)],
    ),
    "killed while rows are dropped": (
        "MAE",
        [
            Blow(SIGKILL, "after a step", 5),
            Blow(SIGKILL, "while rows of an earlier attempt are dropped"),
        ],
    ),
    "stopped while features are judged again": (
        "AMT with refresh",
        [
            Blow(SIGKILL, "while features are judged", 2),
            *[Blow(SIGTERM, "while features are judged")] * 2,
        ],
    ),
    "killed with the average in the place of the weights": (
        "a weight average",
        [
            Blow(SIGKILL, "while held-out images are judged"),
            Blow(SIGTERM, "while held-out images are judged"),
        ],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_several_faults_in_a_row_leave_what_no_fault_leaves(name, tmp_path):
    settings, blows = CASES[name]
    outcome = chain(settings, blows, tmp_path)
    assert not outcome.wrong, outcome.wrong
    assert outcome.struck == len(blows)
