"""DICOM files of radiology, through pydicom: stored values in their own units, and what is black
and white on a display.
"""

from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


def read_dicom(content: bytes, max_megapixels: float) -> Displayed:
    """The first frame, and which values are black and white, where the file says that.

    Grey values are those of the modality: rescaled by slope and intercept (Hounsfield units of CT),
    or as they are stored. Black and white are the ends of the first window, else those of the bits
    that are stored. Where the least value is white (MONOCHROME1), values are turned round within
    their bits, so that it is black.

    Raises:
        ValueError: where pydicom is not installed, there are more pixels than the limit, or none
            that it can decode.
    """
    try:
        from pydicom import dcmread
        from pydicom.pixels import apply_modality_lut, pixel_array
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
    if stored.ndim == 3:
        return Displayed(stored, None, None)
    if not kind.startswith("MONOCHROME"):
        raise ValueError(
            f"it is a DICOM file of {printable(kind, 40)}; grey ones are read, and red, green and "
            "blue"
        )
    _say_of_first_frame(file)
    ends, padding = _ends(file), _numbers(file, "PixelPaddingValue")[:1]
    values = np.asarray(apply_modality_lut(stored, file))
    is_rescaled = values.dtype != stored.dtype or "ModalityLUTSequence" in file
    said = np.array([*ends, *padding]).astype(stored.dtype)
    first, last, *others = (
        float(each) for each in (apply_modality_lut(said, file) if is_rescaled else said)
    )
    low, high = sorted((first, last))
    as_stored = (first, last) == ends and not ends[0]  # also by a slope of 1
    window, nothing = _window(file) or ((low, high) if as_stored else None), others[:1]
    if kind == "MONOCHROME1":
        values, around = np.asarray(low + high - values.astype(np.float32), np.float32), low + high
        window = window and (around - window[1], around - window[0])
        nothing = [around - each for each in nothing]
    values = values.astype(np.float32) if values.dtype == np.float64 else values
    return Displayed(values, window, nothing[0] if nothing else None)


def _say_of_first_frame(file: "Dataset") -> None:
    """Put slope, intercept and window of the first frame where files of one frame have them: those
    of several say them for all, or of each (PS3.3, C.7.6.16).
    """
    for group in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for said in list(file.get(group) or [])[:1]:
            for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                for part in list(said.get(name) or [])[:1]:
                    file.update(part)
    for name in ("RescaleSlope", "RescaleIntercept"):
        if name in file and not _numbers(file, name):
            del file[name]  # it is there, and empty


def _ends(file: "Dataset") -> tuple[int, int]:
    """The least and the greatest value of the bits that are stored."""
    bits = int(file.BitsStored)
    return (
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if file.PixelRepresentation else (0, 2**bits - 1)
    )


def _numbers(file: "Dataset", name: str) -> list[float]:
    """Numbers that an element holds: one, several, or none where it is missing or empty."""
    value = file.get(name)
    listed = [] if value is None or value == "" else np.atleast_1d(value).tolist()
    return [float(each) for each in listed if each is not None]


def _window(file: "Dataset") -> tuple[float, float] | None:
    """Ends of the first window that the file proposes (PS3.3, C.11.2.1.2, and C.11.2.1.3.2 of
    exact ones); None for one of no width.
    """
    centres, widths = (_numbers(file, name) for name in ("WindowCenter", "WindowWidth"))
    if not centres or not widths:
        return None
    centre, width = centres[0], widths[0]
    if file.get("VOILUTFunction") == "LINEAR_EXACT":
        return (centre - width / 2, centre + width / 2) if width > 0 else None
    return (centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2) if width > 1 else None
