"""What a DICOM file says of its values: units of its modality, and the curve that they are shown by
(PS3.3, C.11.1 and C.11.2).
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset


class Table(NamedTuple):
    """A value for each of some values in a row."""

    first: int
    """The value of the first entry, which those below have, too."""
    entry: NDArray
    """(n,) uint8 or uint16; the last one is of all values above."""
    bits: int
    """Of an entry; 8 to 16."""

    def __call__(self, values: NDArray) -> NDArray:
        """Values of any shape, whole numbers of any type -> entries of that shape."""
        places = np.rint(values).astype(np.int64) - self.first
        found: NDArray = self.entry[places.clip(0, len(self.entry) - 1)]
        return found


def numbers(file: "Dataset", name: str) -> list[float]:
    """Numbers that an element holds: one, several, or none where it is missing or empty."""
    value = file.get(name)
    listed = [] if value is None or value == "" else np.atleast_1d(value).tolist()
    return [float(each) for each in listed if each is not None]


def in_units(stored: NDArray, file: "Dataset") -> NDArray:
    """Stored values -> those of the modality: out of a table, or by slope and intercept; the same
    where the file says neither.

    Raises:
        ValueError: where the table is none.
    """
    table = _table(file, "ModalityLUTSequence", bool(file.PixelRepresentation))
    if table:
        return table(stored)
    slope, intercept = numbers(file, "RescaleSlope"), numbers(file, "RescaleIntercept")
    if not slope or not intercept:
        return stored
    return stored.astype(np.float64) * slope[0] + intercept[0]


def shown_by_curve(values: NDArray, file: "Dataset", is_signed: bool) -> NDArray | None:
    """Values in units -> 0..1, float32, as the file's first table or sigmoid shows them; None
    where it has none, but a window or nothing. Where it has a table and a window, the table.

    Args:
        values: of any shape.
        file: that they are of.
        is_signed: whether units may be below zero.

    Raises:
        ValueError: where the table is none.
    """
    table = _table(file, "VOILUTSequence", is_signed)
    if table:
        return (table(values) / np.float32(2**table.bits - 1)).astype(np.float32)
    centre, width = numbers(file, "WindowCenter"), numbers(file, "WindowWidth")
    if file.get("VOILUTFunction") != "SIGMOID" or not centre or not width or width[0] <= 0:
        return None
    with np.errstate(over="ignore"):  # of what is far below, which is black
        shown = 1 / (1 + np.exp(-4 * (values.astype(np.float64) - centre[0]) / width[0]))
    return np.asarray(shown, np.float32)


def _table(file: "Dataset", name: str, is_signed: bool) -> Table | None:
    """The first table of a sequence. Entries of 8 bits may have a byte, or two."""
    item = next(iter(file.get(name) or []), None)
    if item is None or "LUTDescriptor" not in item or "LUTData" not in item:
        return None
    count, first, bits = (int(each) for each in item.LUTDescriptor)
    count, data = count % 2**16 or 2**16, item.LUTData
    if is_signed and first >= 2**15:  # read as unsigned, where the file does not say which it is
        first -= 2**16
    if isinstance(data, bytes):
        order = ">u2" if file.original_encoding[1] is False else "<u2"
        entry = np.frombuffer(data, "u1" if len(data) < 2 * count else order)
    else:
        entry = np.array(np.atleast_1d(data), "<u2")
        entry = entry.view("u1") if len(entry) < count else entry
    if len(entry) < count or not 8 <= bits <= 16:
        raise ValueError(
            f"its table of values has {len(entry)} entries of {bits} bits, and says {count}; needs "
            "as many, of 8 to 16 bits"
        )
    return Table(first, entry[:count].astype(f"u{1 if bits == 8 else 2}"), bits)
