"""JPEG files, decoded by torchcodec, torchvision or Pillow: the same pixels, in more or less
time.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mim.data.levels import Decoder

DECODERS: tuple[Decoder, ...] = ("torchcodec", "torchvision", "pillow")
"""The fastest first."""
# also one that was built for another torch
_ABSENT = (ImportError, AttributeError, OSError, RuntimeError)


class Decoded(NamedTuple):
    """Pixels of a file."""

    pixels: NDArray
    """(c, H, W) uint8."""
    turned: bool
    """Whether they have been turned as EXIF says."""


def decode_jpeg(
    content: Tensor,
    picture: Image.Image,
    grey: bool,
    decoder: Decoder | None = None,
    divisor: int = 1,
) -> Decoded:
    """Bytes of a JPEG -> its pixels, of one channel or of three.

    Args:
        content: (size,) uint8.
        picture: the same, opened by Pillow, which says in fewer words what is wrong with a broken
            one.
        grey: one channel.
        decoder: which library; None for the fastest that there is.
        divisor: of its sides, 1, 2, 4 or 8, rounded up; libjpeg then decodes that much less, which
            Pillow alone asks it for.

    Raises:
        ValueError: where the library is not there.
        Exception: of many kinds, where the bytes are no picture.
    """
    name = fastest() if decoder is None else decoder
    if name != "pillow" and divisor == 1:
        with suppress(RuntimeError):
            return Decoded(_decoder(name)(content, grey).numpy(), turned=name == "torchcodec")
    # of grey the luma that the file holds, as the others have it, and not one made of its colours
    width, height = (max(1, side // divisor) for side in picture.size)
    if grey or divisor > 1:
        picture.draft("L" if grey else "RGB", (width, height) if divisor > 1 else None)
    pixels = np.asarray(picture.convert("L" if grey else "RGB"))
    planes = pixels[None] if grey else pixels.transpose(2, 0, 1)
    return Decoded(np.array(planes, order="C"), turned=False)


@cache
def fastest() -> Decoder:
    """The fastest library of those that are installed."""
    for name in DECODERS[:-1]:
        with suppress(ValueError):
            _decoder(name)
            return name
    return "pillow"


def check_decoder(name: Decoder | None) -> Decoder | None:
    """The same name.

    Raises:
        ValueError: where the library is not installed, or has no decoder (any more).
    """
    if name not in (None, "pillow"):
        _decoder(name)
    return name


@cache
def _decoder(name: Decoder) -> Callable[[Tensor, bool], Tensor]:
    try:
        return _torchcodec() if name == "torchcodec" else _torchvision()
    except _ABSENT as error:
        raise ValueError(
            f"data.decoder={name} cannot be used ({' '.join(str(error).split())[:100]}): pip "
            f"install {name}, or leave it out"
        ) from error


def _torchcodec() -> Callable[[Tensor, bool], Tensor]:
    decode: Callable[..., Tensor] = import_module("torchcodec.decoders").decode_jpeg
    return lambda content, grey: decode(content, mode="GRAY" if grey else "RGB")


def _torchvision() -> Callable[[Tensor, bool], Tensor]:
    """Deprecated since torchvision 0.29, which says so when it is used."""
    image = import_module("torchvision.io.image")
    decode, modes = image.decode_jpeg, image.ImageReadMode
    return lambda content, grey: decode(content, modes.GRAY if grey else modes.RGB)
