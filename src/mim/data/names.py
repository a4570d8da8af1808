"""Many names in two arrays: as much memory as they have bytes, however long one of them is."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class Names:
    """Names, numbered.

    Args:
        text: (bytes,) uint8, one after another.
        end: (N,) int64, where each ends.
    """

    def __init__(self, text: NDArray[np.uint8], end: NDArray[np.int64]):
        self.text, self.end = text, end

    @classmethod
    def of(cls, names: Iterable[bytes]) -> "Names":
        """Put names into arrays."""
        names = list(names)
        end = np.cumsum([len(name) for name in names], dtype=np.int64)
        return cls(np.frombuffer(b"".join(names), np.uint8), end)

    def __len__(self) -> int:
        return len(self.end)

    def __getitem__(self, number: int) -> bytes:
        start = self.end[number - 1] if number else 0
        return self.text[start : self.end[number]].tobytes()

    def sound(self) -> bool:
        """Whether each ends after the one before it, and the last where the text ends."""
        arrays = (
            self.text.dtype == np.uint8
            and self.end.dtype == np.int64
            and self.text.ndim == self.end.ndim == 1
        )
        return bool(
            arrays
            and (np.diff(self.end, prepend=0) >= 0).all()
            and (self.end[-1] if len(self.end) else 0) == len(self.text)
        )
