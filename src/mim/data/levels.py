"""Values of pixels of any type, and channels of any number, as the levels 0 to 255 that a data set
works in.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mim.image_format import Range

PERCENTILES, SAMPLED = (1, 99), 2**16
"""Percentiles that are black and white, of at most so many values of an image, evenly spread."""
Decoder = Literal["torchcodec", "torchvision", "pillow", "nvjpeg"]
"""What decodes JPEG; nvjpeg on a GPU, which needs one."""
MAX_MEGAPIXELS = 179.0
"""Pixels of the largest picture, in millions. Pillow refuses from there on by itself, and others
read any size.
"""
LUMA = (19595, 38470, 7471)
"""Of red, green and blue in grey, in 65536ths (ITU-R 601-2, as Pillow has it)."""


class Reading(NamedTuple):
    """How files are read."""

    max_megapixels: float = MAX_MEGAPIXELS
    """Of the largest picture that is decoded, in millions of pixels."""
    channels: int = 3
    """C, of every picture, whatever its file has; 0 for its own."""
    range: Range = None
    """Which values are black and white."""
    exif: bool = True
    """Whether pictures are turned as they say that they are to be shown."""
    decoder: Decoder | None = None
    """Of JPEG; None for the fastest that is installed."""
    reduced: bool = False
    """Whether JPEGs are decoded at a half, a quarter or an eighth where that keeps twice the
    pixels a side of what is made of them.
    """


COLOURS = Reading()
"""Files as red, green and blue."""


def to_levels(values: NDArray, range: Range, nothing: float | None = None) -> Tensor:
    """Values of any type -> the same shape in 0..255: uint8 as it is, anything else float32 with
    all its precision.

    Without a range, uint16 goes to 65535 and floats from 0 to 1. What lies outside is cut off; NaN
    is black.

    Args:
        values: of a picture.
        range: which of them are black and white.
        nothing: the value of pixels without data, which are black and of which no range is made.

    Raises:
        ValueError: where nothing says which values are black and white, or they are no numbers.
    """
    if values.dtype.kind not in "buif":
        raise ValueError(f"it holds values of type {values.dtype}, no numbers")
    known = with_data(values, nothing)
    if range is None and values.dtype in (np.uint8, np.bool_):
        scaled = torch.from_numpy(
            np.ascontiguousarray(values, np.uint8) * (1 if values.dtype == np.uint8 else 255)
        )
    else:
        low, high = _range_of(values if known is None else values[known], range)
        scaled = (_above(values, low) * (255 / max(high - low, 1e-30))).nan_to_num(0.0, 255.0, 0.0)
        scaled.clamp_(0, 255)
    return scaled if known is None else scaled * torch.from_numpy(known)


def with_data(values: NDArray, nothing: float | None) -> NDArray | None:
    """Which values are there, bool of the same shape; None where all are. Of unsigned channels
    (c, H, W) a pixel is without data where all are: 255 of one alone may be a bright red.
    """
    if nothing is None:
        return None
    with np.errstate(over="ignore"):  # a double that says what is no data among single floats
        known: NDArray = np.asarray(values != nothing)
    if values.dtype.kind != "u":
        return known
    return np.repeat(known.any(axis=0, keepdims=True), len(known), axis=0)


def _above(values: NDArray, low: float) -> Tensor:
    """Values less the least, float32: of wide types with what single precision would lose of large
    values that lie close together.
    """
    if values.dtype.kind in "iuf" and values.dtype.itemsize > (
        4 if values.dtype.kind == "f" else 2
    ):
        return torch.from_numpy((values.astype(np.float64) - low).astype(np.float32))
    return torch.from_numpy(values.astype(np.float32)) - low


def _range_of(values: NDArray, range: Range) -> tuple[float, float]:
    if isinstance(range, tuple):
        low, high = range
        return float(low), float(high)
    if range is None and values.dtype == np.uint16:
        return 0.0, 65535.0
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if range == "percentiles" and known.size:
        low, high = np.percentile(known.reshape(-1)[:: -(-known.size // SAMPLED)], PERCENTILES)
        return float(low), float(high)
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    if range is None:
        if values.dtype.kind == "f" and low >= 0 and high <= 1:
            return 0.0, 1.0
        ends = f"[{low:g},{high:g}]" if low < high else "[<black>,<white>]"
        raise ValueError(
            f"it holds {values.dtype} from {low:g} to {high:g}, and nothing says which are black "
            f"and white; give data.range={ends} for all images (python -m mim statistics says what "
            "they hold), or data.range=image (or percentiles) for each image's own"
        )
    return low, high


def as_channels(picture: Tensor, channels: int) -> Tensor:
    """Pictures (.., c, H, W) in 0..255 -> (.., channels, H, W): grey repeated for colours, and
    colours made grey.

    Raises:
        ValueError: where one cannot be made of the other.
    """
    found = picture.shape[-3]
    if found == channels:
        return picture
    if (found, channels) == (1, 3):
        return picture.expand(*picture.shape[:-3], 3, -1, -1)
    if (found, channels) == (3, 1):
        return _grey(picture)
    raise ValueError(
        f"it has {found} channel{'' if found == 1 else 's'}, and data.channels={channels} asks for "
        f"{channels}; give "
        f"data.channels={found}"
    )


def _grey(picture: Tensor) -> Tensor:
    red, green, blue = (picture.select(-3, i).unsqueeze(-3) for i in (0, 1, 2))
    if picture.dtype == torch.uint8:
        parts = LUMA[0] * red.int() + LUMA[1] * green.int() + LUMA[2] * blue.int()
        return ((parts + 0x8000) >> 16).to(torch.uint8)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue) / 65536


def channels_first(values: NDArray, channels: int) -> NDArray:
    """An array (H, W), (C, H, W) or (H, W, C) -> (C, H, W): the axis that has the channels asked
    for, else the shorter end.

    Raises:
        ValueError: where it has another number of axes, or nothing in it.
    """
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or not values.size:
        raise ValueError(
            f"it is an array of shape {values.shape}; needs (height, width), with channels first "
            "or last"
        )
    first, last = values.shape[0], values.shape[-1]
    if first == channels or (last != channels and first <= last):
        return values
    return np.moveaxis(values, -1, 0)


def refuse_large(width: int, height: int, max_megapixels: float) -> None:
    """Refuse a picture by the size that its header says.

    Raises:
        ValueError: where it has more pixels than the limit.
    """
    if width * height > max_megapixels * 1e6:
        raise ValueError(
            f"it has {width:,} x {height:,} pixels, {width * height / 1e6:,.0f} million, and at "
            "most data.max_megapixels="
            f"{max_megapixels:g} are decoded; shrink it, or raise the limit where it can be trusted"
        )
