"""After any trouble a run goes on as if there had been none. `python -m tests.faults --times 50`
repeats this at random moments.
"""

import pytest

from tests.faults.faults import FAULTS
from tests.faults.ranks import RANK_FAULTS
from tests.faults.trial import trial
from tests.slow import quick

OFTEN = ("SIGTERM at any moment", "SIGKILL while a checkpoint is written")


@pytest.mark.parametrize("name", quick(FAULTS, *OFTEN))
def test_a_run_goes_on_as_if_there_had_been_no(name, tmp_path):
    outcome = trial(FAULTS[name], at=0.6, room=tmp_path)
    assert not outcome.wrong, outcome.wrong


@pytest.mark.slow
def test_the_loss_of_a_process_is_named_and_survived(tmp_path):
    """The losses that take a minute each (rank 0, under torchrun) are for
    `python -m tests.faults --only rank`.
    """
    outcome = RANK_FAULTS["SIGKILL of rank 1 of 2"](0.5, tmp_path)
    assert not outcome.wrong, outcome.wrong
