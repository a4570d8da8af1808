"""Hear the signals that ask a run to stop, from the first line to the last."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mim.launch.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Listener:
    """The first signal counts; what follows is the same wish again, but for a second Ctrl-C, which ends everything at once.

    Attributes:
        received: the signal that came, or 0.
        patient: whether to keep it until somebody asks, as training does, which stops between two steps. Otherwise it is raised.
    """

    def __init__(self) -> None:
        self.received, self.patient = 0, False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Hear a signal.

        Raises:
            Interrupted: at the first, unless we are patient.
            KeyboardInterrupt: at a Ctrl-C after that.
        """
        if self.received:
            if signum == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.received = signum
        if not self.patient:
            raise Interrupted(signal.Signals(signum).name)


listener = Listener()
"""Of this process: signals are the process's, not an object's."""


def wait_for_the_step() -> None:
    """From here on nothing breaks into a step: signals are kept, and whoever waits for a batch notices the death of its worker.

    torch's own handler raises at once, wherever the program is: in the middle of a checkpoint, or where nobody can hear it.
    """
    listener.patient = True
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@contextmanager
def listening() -> Iterator[None]:
    """Hear signals in this block; as before after it."""
    listener.received, listener.patient = 0, False
    before = {signum: signal.signal(signum, listener) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
