"""Colours of more than 8 bits, of which Pillow keeps the upper 8: PNG, PPM, JPEG 2000 and AVIF."""

import re
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PpmImagePlugin import PpmImageFile
from torch import Tensor

from mim.data.deep_compressed import WHITE, deep_compressed
from mim.data.jpeg import fastest
from mim.data.levels import Reading

SIGNATURE, HEAD = b"\x89PNG\r\n\x1a\n", 8
"""What a PNG begins with, and bytes of a chunk before what is in it."""
DEEP = {(16, 2), (16, 4), (16, 6)}
"""Bits and kind of colour of a PNG: red, green and blue; grey with transparency; both."""


def deep_colours(content: bytes, picture: Image.Image, reading: Reading) -> NDArray | None:
    """Colours, or grey with transparency, (c, H, W) uint16, as they are stored; None of a file
    that Pillow reads whole.

    Args:
        content: bytes of a picture.
        picture: the same, opened by Pillow; a PNG that it has read without an error.
        reading: transparency stays where its two or four channels are asked for, or the file's
            own.

    Raises:
        ValueError: where the file ends early, or no library is there that reads such a PNG.
        RuntimeError: where the library cannot read it.
    """
    if isinstance(picture, PpmImageFile) and picture.mode == "RGB":
        return _ppm(content, picture)
    is_png = picture.format == "PNG" and (content[24], content[25]) in DEEP
    values = _png(content, reading) if is_png else deep_compressed(content, picture)
    if values is None:
        return None
    if "transparency" in picture.info and reading.channels == 4:  # one colour
        clear = np.reshape(picture.info["transparency"], (-1, 1, 1))
        alpha = (values != clear).any(axis=0, keepdims=True) * np.uint16(WHITE)
        return np.concatenate([values, alpha])
    has_alpha = len(values) in (2, 4)
    return values[:-1] if has_alpha and reading.channels in (1, 3) else values


def _png(content: bytes, reading: Reading) -> NDArray:
    """By torchcodec or torchvision, which a damaged file would crash: Pillow has read it before."""
    name, pixels = reading.decoder, _pixels_alone(content)
    name = name if name == "torchvision" else fastest()
    if name == "torchcodec":
        decode = import_module("torchcodec.decoders").decode_png
        values = decode(pixels, mode="UNCHANGED", output_dtype="auto")
    elif name == "torchvision":  # deprecated since 0.29, which it says
        values = import_module("torchvision.io.image").decode_png(pixels)
    else:
        raise ValueError(
            "a PNG of 16 bits in colours needs torchcodec: pip install torchcodec (an extra of "
            "ours: jpeg)"
        )
    return np.asarray(values.numpy())


def _pixels_alone(content: bytes) -> Tensor:
    """A PNG without what is told beside its pixels: an orientation, which torchcodec would follow
    where it stands before them and not where it stands behind.
    """
    kept, start = bytearray(SIGNATURE), len(SIGNATURE)
    while start < len(content):
        end = start + HEAD + int.from_bytes(content[start : start + 4], "big") + 4
        if content[start + 4 : start + 5].isupper():  # critical, as the format calls it
            kept += content[start:end]
        start = end
    return torch.frombuffer(kept, dtype=torch.uint8)


def _ppm(content: bytes, picture: PpmImageFile) -> NDArray | None:
    codec, _, start, arguments = picture.tile[0]
    most = int(arguments[1]) if codec != "raw" and isinstance(arguments, tuple) else 0
    if most < 256:
        return None
    count = picture.width * picture.height * 3
    if codec == "ppm":
        values = np.frombuffer(content[start : start + 2 * count], ">u2")
    else:  # as text, in which a line may end with a remark
        words = re.sub(rb"#[^\r\n]*", b"", content[start:]).split()[:count]
        values = np.array(words, np.int64)
    if len(values) < count:
        raise ValueError("it ends before its last pixel")
    pixels = values.reshape(picture.height, picture.width, 3).transpose(2, 0, 1)
    return np.rint(np.clip(pixels / most, 0, 1) * WHITE).astype(np.uint16)
