"""Read one picture as RGB, once its header has said that it is not too large."""

from contextlib import suppress
from functools import cache
from importlib import import_module
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as F

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "HEIF": (".heic", ".heif"),
    "TGA": (".tga",),
}
"""What counts as a picture, by format."""
NEEDS = {".heic": "pip install pillow-heif", ".heif": "pip install pillow-heif", ".avif": "a newer Pillow"}
"""What reads a suffix that is not read."""
FORMATS = tuple(SUFFIXES)  # in this order: TGA, which has no mark of its own, is tried last
"""What a file may be, whatever its name says, where Pillow has it. It knows others, of which EPS starts a program."""
MAX_MEGAPIXELS = 179.0
"""Pixels of the largest picture, in millions. Pillow refuses from there on by itself, and others read any size."""
Image.MAX_IMAGE_PIXELS = None  # the limit is `refuse_large`, the same for every format and every decoder


def decode(content: Tensor, max_megapixels: float = MAX_MEGAPIXELS) -> Tensor:
    """Bytes (size,) uint8 -> (3, H, W) uint8, of an animation the first frame.

    Raises:
        ValueError: where its header asks for more pixels than the limit, before any is decoded.
        Exception: of many kinds, where the bytes are no picture.
    """
    with Image.open(BytesIO(content.numpy().tobytes()), formats=_formats()) as picture:
        refuse_large(*picture.size, max_megapixels)
        if picture.format == "JPEG":
            # torchvision is faster; of GIF it would decode all frames, and a damaged PNG ends its process (0.29.2)
            with suppress(RuntimeError):  # of a broken file, Pillow says what is wrong in fewer words
                return decode_image(content, ImageReadMode.RGB)
        if picture.mode.startswith("I;16"):  # grey of 16 bits, which Pillow would cut off at 255
            grey = torch.from_numpy(np.asarray(picture).astype(np.int32)) >> 8
            return grey.to(torch.uint8).expand(3, -1, -1).contiguous()
        return F.pil_to_tensor(picture.convert("RGB"))


@cache
def suffixes() -> tuple[str, ...]:
    """Suffixes of pictures that can be read here."""
    return tuple(suffix for name in _formats() for suffix in SUFFIXES[name])


@cache
def _formats() -> list[str]:
    Image.init()
    with suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()
    return [name for name in FORMATS if name in Image.OPEN]


def refuse_large(width: int, height: int, max_megapixels: float) -> None:
    """Refuse a picture by the size that its header says.

    Raises:
        ValueError: where it has more pixels than the limit.
    """
    if width * height > max_megapixels * 1e6:
        raise ValueError(
            f"it has {width:,} x {height:,} pixels, {width * height / 1e6:,.0f} million, and at most data.max_megapixels="
            f"{max_megapixels:g} are decoded; shrink it, or raise the limit where it can be trusted"
        )
