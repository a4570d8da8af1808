"""JPEG 2000 and AVIF of more than 8 bits, of which Pillow keeps the upper 8."""

import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WHITE = 65535
_SIZES = b"\xff\x4f\xff\x51"
"""What a codestream of JPEG 2000 begins with: the marker of its sizes is its first."""
_COUNT, _BITS, _OF_A_CHANNEL = 40, 42, 3
"""Where the number of channels and the bits of the first stand behind that, and bytes of each."""
_LUMINANCE = b"\x01\0\0\0\0\0\x12"
"""Of the box `colr`: method, precedence, approximation, and luminance with two chrominances."""
_HIGH, _TWELVE = 0x40, 0x20
"""Flags of the box `av1C`."""
_DECODERS = {"JPEG2000": "jpeg2k_decode", "AVIF": "avif_decode"}


def deep_compressed(content: bytes, picture: Image.Image) -> NDArray | None:
    """All bits of all channels, (c, H, W) uint16, where the most that they can say is 65535; None
    where Pillow reads them whole, or nothing else is there that does, which is said.

    Args:
        content: bytes of a picture.
        picture: the same, opened by Pillow, which reads it before: a damaged file ends there.

    Raises:
        OSError: where Pillow cannot read it.
        RuntimeError: where the library cannot read it.
    """
    if picture.format not in _DECODERS or picture.mode not in ("L", "LA", "RGB", "RGBA"):
        return None
    bits = _jpeg_2000_bits(content) if picture.format == "JPEG2000" else _avif_bits(content)
    if bits <= 8:
        return None
    if find_spec("imagecodecs") is None:
        warnings.warn(
            f"pictures of {picture.format} of {bits} bits are read with 8 of them; imagecodecs "
            "reads all: pip install imagecodecs (an extra of ours: tiff)",
            stacklevel=2,
        )
        return None
    picture.load()
    library: Any = import_module("imagecodecs")
    values = np.atleast_3d(getattr(library, _DECODERS[picture.format])(content))
    whole: NDArray = np.moveaxis(np.rint(values * (WHITE / (2**bits - 1))), -1, 0)
    return whole.astype(np.uint16)


def _jpeg_2000_bits(content: bytes) -> int:
    """Bits of a channel; 8 where channels differ in them, or are no colours as they are stored."""
    start = content.find(_SIZES)
    count = int.from_bytes(content[start + _COUNT : start + _BITS])
    channels = content[start + _BITS : start + _BITS + _OF_A_CHANNEL * count]
    alike = {channels[each : each + _OF_A_CHANNEL] for each in range(0, len(channels), 3)}
    if start < 0 or len(alike) != 1 or b"colr" + _LUMINANCE in content[:start]:
        return 8
    bits = alike.pop()[0] + 1  # signed ones say 128 more
    return bits if bits <= 16 else 8


def _avif_bits(content: bytes) -> int:
    box = content.find(b"av1C")
    flags = content[box + 6] if 0 <= box < len(content) - 6 else 0
    return 8 if not flags & _HIGH else 12 if flags & _TWELVE else 10
