"""Arrays out of files that have more than colours: NumPy's, and TIFF of any type and number of
bands.
"""

import logging
import math
import zipfile
from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mim.data.levels import Reading, refuse_large
from mim.plain import printable

BIG_TIFF = b"MM\0+"  # of 64 bits and the other byte order, which Pillow takes for one without tags
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", BIG_TIFF)
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
    if len(shape) not in (2, 3) or min(shape) < 1:
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
    try:
        packed_file = zipfile.ZipFile(BytesIO(content))
    except zipfile.BadZipFile as error:
        raise ValueError("it begins as a .npz file, and its end is not there") from error
    with packed_file as file:
        names = [each.filename for each in file.infolist() if each.filename.endswith(".npy")]
        chosen = names if len(names) == 1 else [name for name in names if name == "image.npy"]
        if not names:
            raise ValueError("it is a zip file without an array (.npz)")
        if not chosen:
            listed = ", ".join(printable(name.removesuffix(".npy"), 40) for name in names[:8])
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


class Page(NamedTuple):
    """What a TIFF holds."""

    values: NDArray
    """(H, W) or (C, H, W)."""
    orientation: int
    """1 to 8."""
    nothing: float | None
    """The value that stands for no data (GDAL's tag, a number as text)."""


def read_tiff(content: bytes, reading: Reading) -> Page:
    """The first page of a TIFF; all pages, as channels, where they are as many as are asked for,
    those left out that repeat another at a smaller size.

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
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it tells of every odd tag
    with tifffile.TiffFile(BytesIO(content)) as file:
        if not len(file.pages):
            raise ValueError("it is a TIFF without a page")
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        pages = [page]
        if 1 < reading.channels <= len(file.pages) and page.ndim == 2:
            all_pages = [each for each in file.pages if isinstance(each, tifffile.TiffPage)]
            whole = [each for each in all_pages if not each.is_reduced]
            pages = whole if len(whole) == reading.channels else pages
        for each in pages:
            _refuse(each.shape, reading.max_megapixels)
        if len({each.shape for each in pages}) > 1:
            raise ValueError(
                "its pages are of different sizes, so they are no channels of one image"
            )
        values = np.stack([each.asarray() for each in pages]) if pages[1:] else page.asarray()
        if not pages[1:] and page.axes.endswith("S"):
            values = np.moveaxis(values, -1, 0)
        if not pages[1:] and values.ndim == 3:
            values = _without_alpha(values, page.extrasamples, reading.channels)
        said = page.tags[274].value if 274 in page.tags else 1
        orientation = int(said) if isinstance(said, int) and 1 <= said <= 8 else 1
        nothing = _number(page.tags[NO_DATA].value) if NO_DATA in page.tags else None
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            return Page((page.colormap >> 8).astype(np.uint8)[:, values], orientation, None)
        white_is_zero = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        if page.bitspersample < 8:
            step = 255 // (2**page.bitspersample - 1)
            values, nothing = values.astype(np.uint8) * step, nothing and nothing * step
    if white_is_zero and values.dtype.kind == "u":
        most = int(np.iinfo(values.dtype).max)
        values, nothing = most - values, None if nothing is None else most - nothing
    return Page(values, orientation, nothing)


def _without_alpha(values: NDArray, extra: Sequence[int], channels: int) -> NDArray:
    """Bands (c, H, W) less their last one where that is transparency which nobody asks for."""
    bands = len(values) - len(extra)
    return values[:bands] if any(kind in ALPHA for kind in extra) and channels in (1, 3) else values


def _number(said: object) -> float | None:
    try:
        return float(str(said).strip("\0 "))
    except ValueError:
        return None


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
