"""Hear the signals that ask a run to stop, from the first line to the last."""

import signal
from types import FrameType

from mim.launch.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Listener:
    """The first signal counts; what follows is the same wish again, but for a second Ctrl-C, which
    ends everything at once.

    Attributes:
        received: the signal that came, or 0.
        patient: whether to keep it until somebody asks, as training does, which stops between two
            steps. Otherwise it is raised.
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


def listen() -> None:
    """From here on hear signals, and raise the first; also one that whoever began this process held
    back until now.
    """
    listener.received, listener.patient = 0, False
    for signum in SIGNALS:
        signal.signal(signum, listener)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def wait_for_the_step() -> None:
    """From here on nothing breaks into a step: signals are kept, and whoever waits for a batch
    notices the death of its worker.

    torch's own handler raises at once, wherever the program is: in the middle of a checkpoint, or
    where nobody can hear it.
    """
    listener.patient = True
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def end() -> None:
    """All is done, and the program ends: to be asked for that must not turn its exit code into that
    of a killed one.

    Python gives its own handlers up before it is over, so these are none. A second Ctrl-C still
    ends at once what hangs.
    """
    listener.patient = True
    for signum in SIGNALS:
        if signum != signal.SIGINT:
            signal.signal(signum, signal.SIG_IGN)
