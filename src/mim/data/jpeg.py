"""JPEG files, decoded by torchcodec, torchvision or Pillow: the same pixels, in more or less
time.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mim.data.levels import Decoder
from mim.launch.there import no_gpu_to_decode

DECODERS: tuple[Decoder, ...] = ("torchcodec", "torchvision", "pillow")
"""The fastest first."""
# also one that was built for another torch
_ABSENT = (ImportError, AttributeError, OSError, RuntimeError)


OnGpu = Callable[[Sequence[Tensor], bool], list[Tensor]]
"""Bytes of JPEGs, and whether grey is wanted -> pixels (c, H, W) on a GPU."""


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
        decoder: which library; None for the fastest that there is, which also decodes for a GPU
            what that leaves.
        divisor: of its sides, 1, 2, 4 or 8, rounded up; libjpeg then decodes that much less, which
            Pillow alone asks it for.

    Raises:
        ValueError: where the library is not there.
        Exception: of many kinds, where the bytes are no picture.
    """
    name = fastest() if decoder in (None, "nvjpeg") else decoder
    if name != "pillow" and divisor == 1:
        with suppress(RuntimeError):
            return Decoded(_decoder(name)(content, grey).numpy(), turned=name == "torchcodec")
    # of grey the luma that the file holds, as the others have it, and not one made of its colours
    width, height = (max(1, side // divisor) for side in picture.size)
    if grey or divisor > 1:
        picture.draft("L" if grey else "RGB", (width, height) if divisor > 1 else None)
    pixels = np.array(picture.convert("L" if grey else "RGB"))
    return Decoded(pixels[None] if grey else pixels.transpose(2, 0, 1), turned=False)


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
    if name == "nvjpeg" and not torch.cuda.is_available():
        raise no_gpu_to_decode()
    if name not in (None, "pillow", "nvjpeg"):
        _decoder(name)
    return name


def decode_on_gpu(contents: Sequence[Tensor], grey: bool) -> list[Tensor | None]:
    """Bytes of JPEGs -> their pixels (c, H, W) uint8 on the current GPU; None of each that it
    cannot decode.

    Args:
        contents: (size,) uint8 each, on the CPU.
        grey: one channel, else three.

    Raises:
        ValueError: where no library decodes on this GPU.
    """
    if not contents:
        return []
    decode = _gpu_library()
    try:
        return [*decode(contents, grey)]
    except RuntimeError:  # one broken file fails all of them
        return [_alone(decode, content, grey) for content in contents]


def _alone(decode: OnGpu, content: Tensor, grey: bool) -> Tensor | None:
    try:
        return decode([content], grey)[0]
    except RuntimeError:
        return None


@cache
def _gpu_library() -> OnGpu:
    """The first library that decodes a small JPEG on the current GPU."""
    Image.new("RGB", (16, 16)).save(stream := BytesIO(), "JPEG")
    small, why = torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8), ""
    for library in (_torchcodec_on_gpu, _torchvision_on_gpu):
        try:
            decode = library()
            decode([small], False)
            return decode
        except _ABSENT as error:
            why = " ".join(str(error).split())[:100]
    raise ValueError(
        f"data.decoder=nvjpeg cannot be used ({why}): pip install torchcodec, or leave it out"
    )


def _torchcodec_on_gpu() -> OnGpu:
    decode: Callable[..., list[Tensor]] = import_module("torchcodec.decoders").decode_jpeg
    return lambda contents, grey: decode(
        list(contents), mode="GRAY" if grey else "RGB", device="cuda"
    )


def _torchvision_on_gpu() -> OnGpu:
    """Deprecated since torchvision 0.29, which says so when it is used."""
    image = import_module("torchvision.io.image")
    decode: Callable[..., list[Tensor]] = image.decode_jpeg
    modes = image.ImageReadMode
    return lambda contents, grey: decode(
        list(contents), modes.GRAY if grey else modes.RGB, device="cuda"
    )


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
