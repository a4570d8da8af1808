"""What a run prints, where whoever reads it may end first."""

import os
import sys
from typing import TextIO


def lead_nowhere(stream: TextIO) -> None:
    """Let a stream lead nowhere from now on: whoever reads it, such as `head`, has read enough."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class OutputThatMayClose:
    """Output of a run that goes on after its reader has ended: `python -m mim train | head`, a
    `tee` that was killed. What is printed from then on is lost, and standard error says so once.

    Args:
        stream: that is written to; everything else is asked of it.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text -> its length, also where nobody reads any more."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._lose()
            return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._lose()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def _lose(self) -> None:
        lead_nowhere(self._stream)
        print(
            "whoever read the output has ended; the run goes on, and what it prints is lost",
            file=sys.stderr,
            flush=True,
        )
