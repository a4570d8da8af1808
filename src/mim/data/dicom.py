"""DICOM files of radiology, through pydicom: stored values in their own units, and what is black
and white on a display.
"""

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mim.data.dicom_tables import in_units, numbers, shown_by_curve
from mim.data.levels import refuse_large
from mim.plain import printable

if TYPE_CHECKING:
    from pydicom import Dataset


class Displayed(NamedTuple):
    """What a DICOM file holds, and what it says of it."""

    values: NDArray
    """(H, W), or (H, W, 3) of colours."""
    range: tuple[float, float] | None
    """Values that are black and white."""
    nothing: float | None
    """The value of pixels outside of what was imaged (PS3.3, C.7.5.1.1.2)."""
    shown: NDArray | None = None
    """Levels (H, W) float32 in 0..1 where a table or a sigmoid shows the values, which no range
    does."""


def read_dicom(content: bytes, max_megapixels: float) -> Displayed:
    """The first frame, and which values are black and white, where the file says that.

    Grey values are those of the modality: rescaled by slope and intercept (Hounsfield units of CT),
    or as they are stored. Black and white are the ends of the first window, else those of the bits
    that are stored; a table, or a sigmoid, comes before them. Where the least value is white
    (MONOCHROME1), values are turned round within their bits, so that it is black. That there are
    further frames is said.

    Raises:
        ValueError: where pydicom is not installed, there are more pixels than the limit, or none
            that it can decode.
    """
    try:
        from pydicom import dcmread
        from pydicom.pixels import pixel_array
    except ModuleNotFoundError as error:
        raise ValueError(
            "a DICOM file needs pydicom: pip install pydicom (an extra of ours: dicom)"
        ) from error
    file = dcmread(BytesIO(content))
    if "Rows" not in file or "PixelData" not in file:
        raise ValueError("it is a DICOM file without pixels")
    refuse_large(int(file.Columns), int(file.Rows), max_megapixels)
    try:
        stored = pixel_array(file, index=0)  # colours as red, green and blue
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"pydicom cannot decode it: {printable(' '.join(str(error).split()), 200)}"
        ) from error
    kind = str(file.PhotometricInterpretation)
    if (numbers(file, "NumberOfFrames") or [1])[0] > 1:
        warnings.warn(
            "of DICOM files of several frames the first is read; write the others into files of "
            "their own, where they are to be read, too",
            stacklevel=2,
        )
    if stored.ndim == 3:
        return Displayed(stored, None if stored.dtype == np.uint8 else _ends(file), None)
    if not kind.startswith("MONOCHROME"):
        raise ValueError(
            f"it is a DICOM file of {printable(kind, 40)}; grey ones are read, and red, green and "
            "blue"
        )
    _say_of_first_frame(file)
    ends, padding = _ends(file), numbers(file, "PixelPaddingValue")[:1]
    values = np.asarray(in_units(stored, file))
    is_rescaled = values.dtype != stored.dtype or "ModalityLUTSequence" in file
    said = np.array([*ends, *padding]).astype(stored.dtype)
    first, last, *others = (float(each) for each in (in_units(said, file) if is_rescaled else said))
    low, high = sorted((first, last))
    as_stored = (first, last) == ends and not ends[0]  # also by a slope of 1
    window, nothing = _window(file) or ((low, high) if as_stored else None), others[:1]
    shown = shown_by_curve(values, file, low < 0)
    if shown is not None:
        shown = 1 - shown if kind == "MONOCHROME1" else shown
        shown[np.isin(values, nothing)] = 0
    if kind == "MONOCHROME1":
        values, around = np.asarray(low + high - values.astype(np.float32), np.float32), low + high
        window = window and (around - window[1], around - window[0])
        nothing = [around - each for each in nothing]
    values = values.astype(np.float32) if values.dtype == np.float64 else values
    return Displayed(values, window, nothing[0] if nothing else None, shown)


def _say_of_first_frame(file: "Dataset") -> None:
    """Put slope, intercept and window of the first frame where files of one frame have them: those
    of several say them for all, or of each (PS3.3, C.7.6.16).
    """
    for group in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for said in list(file.get(group) or [])[:1]:
            for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                for part in list(said.get(name) or [])[:1]:
                    file.update(part)


def _ends(file: "Dataset") -> tuple[int, int]:
    """The least and the greatest value of the bits that are stored."""
    bits = int(file.BitsStored)
    return (
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if file.PixelRepresentation else (0, 2**bits - 1)
    )


def _window(file: "Dataset") -> tuple[float, float] | None:
    """Ends of the first window that the file proposes (PS3.3, C.11.2.1.2, and C.11.2.1.3.2 of
    exact ones); None for one of no width.
    """
    centres, widths = (numbers(file, name) for name in ("WindowCenter", "WindowWidth"))
    if not centres or not widths:
        return None
    centre, width = centres[0], widths[0]
    if file.get("VOILUTFunction") == "LINEAR_EXACT":
        return (centre - width / 2, centre + width / 2) if width > 0 else None
    return (centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2) if width > 1 else None
