"""Formats of pictures: the suffixes of their files, and which of them can be read here."""

from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from PIL import Image

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "HEIF": (".heic", ".heif"),
    "TGA": (".tga",),
    "DICOM": (".dcm", ".dicom"),
}
"""What counts as a picture, by format."""
ARRAYS = (".npy", ".npz")
"""What counts as one where there are no others: arrays (H, W), (C, H, W) or (H, W, C)."""
NEEDS = {
    ".heic": "pip install pillow-heif",
    ".heif": "pip install pillow-heif",
    ".avif": "a newer Pillow",
}
NEEDS |= dict.fromkeys(SUFFIXES["DICOM"], "pip install pydicom")
"""What reads a suffix that is not read."""
HEIF = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
"""Brands of HEIF, which telephones write, in bytes 8 to 12."""
FORMATS = tuple(SUFFIXES)  # in this order: TGA, which has no mark of its own, is tried last
"""What a file may be, whatever its name says, where Pillow has it. It knows others, of which EPS
starts a program.
"""


@cache
def suffixes() -> tuple[str, ...]:
    """Suffixes of pictures that can be read here."""
    known = [*readable_formats(), *(["DICOM"] if find_spec("pydicom") else [])]
    return tuple(suffix for name in known for suffix in SUFFIXES[name])


@cache
def readable_formats() -> list[str]:
    """Formats that Pillow opens here, as it calls them."""
    Image.init()
    with suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()
    return [name for name in FORMATS if name in Image.OPEN]
