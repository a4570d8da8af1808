"""Read one picture, once its header has said that it is not too large: what is in the file, in
0..255.
"""

import logging
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mim.data.arrays import BIG_TIFF, NO_DATA, TIFF_MARKS, read_npy, read_npz, read_tiff
from mim.data.deep_colours import deep_colours
from mim.data.dicom import read_dicom
from mim.data.formats import HEIF, NEEDS, readable_formats
from mim.data.jpeg import Decoded, decode_jpeg
from mim.data.levels import COLOURS, Reading, as_channels, channels_first, refuse_large, to_levels
from mim.data.orientation import orientation_of, shown
from mim.plain import printable

# the limit is `refuse_large`, the same for every format and every decoder
Image.MAX_IMAGE_PIXELS = None
# it would say of each TIFF of many bands that it cannot read it, and tifffile does
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)
EIGHT_BIT = {
    "1": 1,
    "L": 1,
    "LA": 2,
    "P": 3,
    "PA": 4,
    "RGB": 3,
    "RGBA": 4,
    "CMYK": 3,
    "YCbCr": 3,
    "HSV": 3,
    "LAB": 3,
}
"""Pillow's modes of at most 8 bits a channel, and how many channels they have once they are grey or
colours.
"""
# tags of a TIFF; values of a pixel, of which Pillow may drop some
_BITS, _WHITE_IS_ZERO, _SAMPLES, _NUMBERS = 258, 262, 277, 339
_UNSIGNED, _SIGNED = 1, 2
_COMPRESSION, _WEBP = 259, 50001


Fit = Callable[[int, int], int]
"""Height and width of a picture as it is shown -> what its sides are divided by, 1, 2, 4 or 8."""


class FileValues(NamedTuple):
    """What is in a file."""

    format: str
    """As Pillow calls it, or `NPY`, `NPZ`, `DICOM`."""
    values: NDArray
    """(c, H, W), of the file's own type."""
    orientation: int = 1
    """As EXIF says it."""
    is_turned: bool = False
    """Whether what decoded it has turned it accordingly."""
    range: tuple[float, float] | None = None
    """Values that are black and white, where the file says them."""
    nothing: float | None = None
    """The value of pixels without data, where the file says it."""
    shown: NDArray | None = None
    """Levels (c, H, W) in 0..1 where the file says how it is shown, and no range says that."""


def decode(content: Tensor, reading: Reading = COLOURS, fit: Fit | None = None) -> Tensor:
    """Bytes (size,) uint8 -> (C, H, W), of an animation the first frame: uint8, or float32 in
    0..255 of deeper pixels. Channels may lie beside each other in memory, as a decoder leaves them:
    pictures are resized fastest that way.

    Raises:
        ValueError: where its header asks for more pixels than the limit, before any is decoded, it
            has other channels than those asked for, or nothing says which of its values are black
            and white.
        Exception: of many kinds, where the bytes are no picture.
    """
    found = read_values(content, reading, fit)
    if reading.range is None and found.shown is not None:
        return as_channels(to_levels(found.shown, (0, 1)), reading.channels).contiguous()
    values, range = found.values, reading.range or found.range
    as_it_is = values.dtype == np.uint8 and range is None and found.nothing is None
    pixels = torch.from_numpy(values) if as_it_is else to_levels(values, range, found.nothing)
    return as_channels(pixels, reading.channels)


def read_values(content: Tensor, reading: Reading = COLOURS, fit: Fit | None = None) -> FileValues:
    """Bytes (size,) uint8 -> what is in them: colours or grey of 8 bits with the channels asked
    for, all others as they are.

    Raises:
        ValueError: where its header asks for more pixels than the limit, before any is decoded.
        Exception: of many kinds, where the bytes are no picture.
    """
    found = _decoded(content, reading, fit)
    return found._replace(
        values=shown(found.values, found.orientation, found.is_turned, reading.exif)
    )


def _decoded(content: Tensor, reading: Reading, fit: Fit | None) -> FileValues:
    raw = content.numpy().tobytes()
    if not raw:
        raise ValueError("it is empty")
    if raw.startswith(b"\x93NUMPY"):
        return _array("NPY", read_npy(raw, reading.max_megapixels), 1, reading)
    if raw.startswith(b"PK\3\4"):
        return _array("NPZ", read_npz(raw, reading.max_megapixels), 1, reading)
    if raw[128:132] == b"DICM":
        values, window, padding, shown = read_dicom(raw, reading.max_megapixels)
        made = _array("DICOM", values, 1, reading)
        levels = None if shown is None else shown[None]
        return made._replace(range=window, nothing=padding, shown=levels)
    if raw.startswith(BIG_TIFF):
        return _tiff(raw, reading)
    try:
        opened = Image.open(BytesIO(raw), formats=readable_formats())
    except UnidentifiedImageError:
        if raw.startswith(TIFF_MARKS):  # of more bands, or other values, than Pillow knows
            return _tiff(raw, reading)
        if raw[4:8] == b"ftyp" and raw[8:12] in HEIF:  # whatever its name says
            need = NEEDS[".heic"]
            raise ValueError(f"it is a HEIF picture, which is not read here: {need}") from None
        raise ValueError(f"it is no picture: it begins with {_beginning(raw)}") from None
    with opened as picture:
        refuse_large(*picture.size, reading.max_megapixels)
        name, is_tiff = str(picture.format), isinstance(picture, TiffImageFile)
        if isinstance(picture, TiffImageFile) and _drops(picture, reading.channels):
            return _tiff(raw, reading)
        orientation = orientation_of(picture)
        deep = deep_colours(raw, picture, reading)
        if deep is not None:
            return FileValues(name, deep, orientation)
        if picture.mode in EIGHT_BIT:
            divisor = 1
            if fit is not None and name == "JPEG":
                sides = picture.size if orientation >= 5 and reading.exif else picture.size[::-1]
                divisor = fit(*sides)
            pixels, turned = _eight_bit(picture, content, reading, divisor)
            return FileValues(name, pixels, orientation, turned or is_tiff)
        # Pillow turns TIFF alone
        return _array(name, _deep(picture), orientation, reading)._replace(is_turned=is_tiff)


def _array(name: str, values: NDArray, orientation: int, reading: Reading) -> FileValues:
    native = values.dtype.newbyteorder("=")
    return FileValues(
        name, np.require(channels_first(values, reading.channels), native, ["C", "W"]), orientation
    )


def _tiff(content: bytes, reading: Reading) -> FileValues:
    page = read_tiff(content, reading)
    found = _array("TIFF", page.values, page.orientation, reading)
    return found._replace(nothing=page.nothing)


def _drops(picture: TiffImageFile, channels: int) -> bool:
    """Whether Pillow would not give all that is in a TIFF: 16 bits of colours, further bands, pages
    that are channels, a value for no data; or would not decode it (WebP within); or would take its
    numbers for others: signed bytes for unsigned ones, and unsigned words of 32 bits for signed
    ones.
    """
    bands = len(picture.getbands())
    numbers = picture.tag_v2.get(_NUMBERS, (_UNSIGNED,))[0]
    if NO_DATA in picture.tag_v2 or numbers == (_UNSIGNED if picture.mode == "I" else _SIGNED):
        return True
    if picture.tag_v2.get(_COMPRESSION) == _WEBP:
        return True
    deep = picture.mode in EIGHT_BIT and max(picture.tag_v2.get(_BITS, (1,))) > 8
    pages = bands == 1 < channels and picture.n_frames == channels
    return deep or pages or picture.tag_v2.get(_SAMPLES, 1) != bands


def _deep(picture: Image.Image) -> NDArray:
    """Pixels of more than 8 bits, as Pillow has them; 16 bits may be in a wider type."""
    values = np.asarray(picture)
    if picture.mode.startswith("I;16") or (picture.format != "TIFF" and values.dtype == np.int32):
        values = values.astype(np.uint16)
        inverted = isinstance(picture, TiffImageFile) and picture.tag_v2.get(_WHITE_IS_ZERO) == 0
        return 65535 - values if inverted else values
    return values


def _eight_bit(picture: Image.Image, content: Tensor, reading: Reading, divisor: int) -> Decoded:
    """Pixels (c, H, W) uint8: with the channels asked for where they can be had, else with its
    own.
    """
    modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    own = EIGHT_BIT[picture.mode]
    if (
        reading.channels in (2, 4) and "transparency" in picture.info
    ):  # one colour, or colours of a palette
        own = {1: 2, 3: 4}.get(own, own)
    mode = modes[reading.channels if reading.channels in (1, 3) else own]
    # of GIF others would decode all frames, and a damaged PNG ends their process
    if picture.format == "JPEG":
        return decode_jpeg(content, picture, mode == "L", reading.decoder, divisor)
    # Pillow makes nothing else of it
    colours = picture.convert("RGB") if picture.mode == "LAB" else picture
    return Decoded(F.pil_to_tensor(colours.convert(mode)).numpy(), turned=False)


def _beginning(raw: bytes) -> str:
    """The first bytes of a file, as words where they are: `<html>404 Not Found`."""
    text = raw[:24].decode("ascii", "replace")
    return printable(text if text.isprintable() else f"the bytes {raw[:8].hex(' ')}", 60)
