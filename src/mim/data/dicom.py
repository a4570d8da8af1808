"""DICOM files of radiology, through pydicom: stored values in their own units, and what is black
and white on a display.
"""

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mim.data.levels import refuse_large
from mim.plain import printable

if TYPE_CHECKING:
    from pydicom import Dataset


def read_dicom(content: bytes, max_megapixels: float) -> tuple[NDArray, tuple[float, float] | None]:
    """The first frame, (H, W) or (H, W, 3), and which values are black and white, where the file
    says that.

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
        return stored, None
    if not kind.startswith("MONOCHROME"):
        raise ValueError(
            f"it is a DICOM file of {printable(kind, 40)}; grey ones are read, and red, green and "
            "blue"
        )
    ends = _ends(file)
    values = np.asarray(apply_modality_lut(stored, file))
    rescaled = (
        apply_modality_lut(np.array(ends, stored.dtype), file)
        if values.dtype != stored.dtype
        else ends
    )
    first, last = (float(end) for end in rescaled)
    low, high = sorted((first, last))
    as_stored = (first, last) == ends and not ends[0]  # also by a slope of 1
    window = _window(file) or ((low, high) if as_stored else None)
    if kind == "MONOCHROME1":
        values, around = np.asarray(low + high - values.astype(np.float32), np.float32), low + high
        window = window and (around - window[1], around - window[0])
    return values.astype(np.float32) if values.dtype == np.float64 else values, window


def _ends(file: "Dataset") -> tuple[int, int]:
    """The least and the greatest value of the bits that are stored."""
    bits = int(file.BitsStored)
    return (
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if file.PixelRepresentation else (0, 2**bits - 1)
    )


def _window(file: "Dataset") -> tuple[float, float] | None:
    """Ends of the first window that the file proposes (PS3.3, C.11.2.1.2)."""
    if "WindowCenter" not in file or "WindowWidth" not in file:
        return None
    centre, width = (
        float(np.atleast_1d(file[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
    )
    return (centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2) if width > 1 else None
