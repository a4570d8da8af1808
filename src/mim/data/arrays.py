"""Arrays out of files that have more than colours: NumPy's, and TIFF of any type and number of
bands.
"""

import math
import zipfile
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mim.data.levels import Reading, refuse_large
from mim.plain import printable

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MOST_CHANNELS = 1024
NO_DATA, ALPHA = 42113, (1, 2)  # a tag; extra samples of a TIFF that are transparency
SLACK = 2**16  # bytes of a header


def read_npy(content: bytes, max_megapixels: float) -> NDArray:
    """The array of a .npy file, which runs no code and is no larger than its header says and than
    it is itself.

    Raises:
        ValueError: where it holds objects, or more pixels than the limit.
    """
    stream = BytesIO(content)
    version = npy.read_magic(stream)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(
            f"it is a .npy file of version {version[0]}.{version[1]}; 1.0 and 2.0 are read"
        )
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which could run code; save an array of numbers")
    if len(shape) not in (2, 3):
        raise ValueError(
            f"it is an array of shape {shape}; needs (height, width), with channels first or last"
        )
    _refuse(shape, max_megapixels)
    stream.seek(0)
    return np.asarray(np.load(stream, allow_pickle=False))


def read_npz(content: bytes, max_megapixels: float) -> NDArray:
    """The only array of a .npz file, or the one that is called `image`; nothing larger than the
    limit is unpacked.

    Raises:
        ValueError: where there are several, or one holds objects, or more pixels than the limit.
    """
    with zipfile.ZipFile(BytesIO(content)) as file:
        names = [each.filename for each in file.infolist() if each.filename.endswith(".npy")]
        chosen = names if len(names) == 1 else [name for name in names if name == "image.npy"]
        if not chosen:
            listed = (
                ", ".join(printable(name.removesuffix(".npy"), 40) for name in names[:8]) or "none"
            )
            raise ValueError(
                f"it is a .npz file of the arrays {listed}; needs one alone, or one that is called "
                "image"
            )
        packed = file.getinfo(chosen[0])
        # of four values of eight bytes a pixel
        if packed.file_size > max_megapixels * 1e6 * 4 * 8 + SLACK:
            raise ValueError(
                f"its array has {packed.file_size:,} bytes, more than "
                f"data.max_megapixels={max_megapixels:g}"
            )
        return read_npy(file.read(packed), max_megapixels)


def read_tiff(content: bytes, reading: Reading) -> tuple[NDArray, int]:
    """The first page of a TIFF, (H, W) or (C, H, W); all pages, as channels, where they are as many
    as are asked for. And its orientation, 1 to 8.

    Raises:
        ValueError: where tifffile, which reads such files, is not installed, or it is larger than
            the limit.
    """
    try:
        import tifffile
    except ModuleNotFoundError as error:
        raise ValueError(
            "a TIFF of more than 8 bits, or of other bands than colours, needs tifffile: pip "
            "install tifffile imagecodecs "
            "(an extra of ours: tiff)"
        ) from error
    with tifffile.TiffFile(BytesIO(content)) as file:
        count = len(file.pages)
        if not count:
            raise ValueError("it is a TIFF without a page")
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        stack = count > 1 and count == reading.channels and page.ndim == 2
        pages = [file.pages[i] for i in range(count)] if stack else [page]
        for each in pages:
            _refuse(each.shape, reading.max_megapixels)
        if stack and len({each.shape for each in pages}) > 1:
            raise ValueError(
                "its pages are of different sizes, so they are no channels of one image"
            )
        values = np.stack([each.asarray() for each in pages]) if stack else page.asarray()
        values = np.moveaxis(values, -1, 0) if not stack and page.axes.endswith("S") else values
        if not stack and values.ndim == 3:
            values = _without_alpha(values, page.extrasamples, reading.channels)
        white_is_zero = (
            page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and values.dtype.kind == "u"
        )
        orientation = int(page.tags[274].value) if 274 in page.tags else 1
        no_data = page.tags[NO_DATA].value if NO_DATA in page.tags else None
    values = np.iinfo(values.dtype).max - values if white_is_zero else values
    return _without(values, no_data, reading), orientation


def _without_alpha(values: NDArray, extra: Sequence[int], channels: int) -> NDArray:
    """Bands (c, H, W) less their last one where that is transparency which nobody asks for."""
    bands = len(values) - len(extra)
    return values[:bands] if any(kind in ALPHA for kind in extra) and channels in (1, 3) else values


def _without(values: NDArray, no_data: object, reading: Reading) -> NDArray:
    """NaN, which becomes black, where there is no data (GDAL's tag 42113, a number as text).

    Whole numbers stay what they are where the range is not each image's own: it cuts them off.
    """
    try:
        nothing = float(str(no_data).strip("\0 "))
    except ValueError:
        return values
    if values.dtype.kind == "f" or (isinstance(reading.range, str) and (values == nothing).any()):
        known = values.astype(np.float32)
        known[values == nothing] = np.nan
        return known
    return values


def _refuse(shape: tuple[int, ...], max_megapixels: float) -> None:
    """By its two longest sides; and by all its values, at four a pixel or as many as it has
    channels.
    """
    sides = sorted(shape)[-2:]
    refuse_large(sides[1], sides[0], max_megapixels)
    if (
        math.prod(shape) > MOST_CHANNELS * max(1, math.prod(sides))
        or math.prod(shape) > 4 * max_megapixels * 1e6
    ):
        raise ValueError(
            f"it holds {math.prod(shape):,} values, more than four for each of "
            f"data.max_megapixels={max_megapixels:g}; "
            "raise the limit where it can be trusted"
        )
