"""After any trouble a run goes on as if there had been none. `python -m tests.faults --times 50` repeats this at random moments."""

import pytest

from tests.faults.faults import FAULTS
from tests.faults.trial import trial


@pytest.mark.parametrize("name", FAULTS)
def test_a_run_goes_on_as_if_there_had_been_no(name, tmp_path):
    outcome = trial(FAULTS[name], at=0.6, room=tmp_path)
    assert not outcome.wrong, outcome.wrong
