"""A picture is seen as it is to be shown, or as it is stored, and what its format is makes no
difference.
"""

import io

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageOps

from mim.data.decode import decode
from mim.data.levels import Reading
from mim.data.orientation import TAG, turned

ORIENTATIONS = range(1, 9)
FORMATS = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
}


def picture():
    """Blocks of 8 x 8 pixels, all different, 16 high and 24 wide."""
    blocks = np.random.default_rng(0).integers(0, 255, (2, 3, 3), np.uint8)
    return Image.fromarray(blocks.repeat(8, 0).repeat(8, 1))


def saved(kind, orientation):
    exif = Image.Exif()
    exif[TAG] = orientation
    stream = io.BytesIO()
    picture().save(stream, kind, exif=exif, **FORMATS[kind])
    return torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8)


def expected(orientation):
    exif = picture()
    exif.getexif()[TAG] = orientation
    return torch.from_numpy(np.array(ImageOps.exif_transpose(exif))).permute(2, 0, 1).int()


@pytest.mark.filterwarnings("ignore:The image decoding")  # torchvision says it where it is chosen
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_format_is_turned_or_not_as_is_asked(kind, orientation):
    content = saved(kind, orientation)
    for exif, wanted in ((True, expected(orientation)), (False, expected(1))):
        for decoder in ("torchcodec", "torchvision", "pillow") if kind == "JPEG" else (None,):
            image = decode(content, Reading(exif=exif, decoder=decoder)).int()
            assert image.shape == wanted.shape
            assert (image - wanted).abs().max() <= (4 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_bands_and_depths_that_pillow_does_not_know_are_turned_alike(tmp_path, orientation):
    values = np.arange(2 * 6 * 9, dtype=np.uint16).reshape(6, 9, 2)
    file = tmp_path / "picture.tif"
    tag = (TAG, "H", 1, orientation, True)
    tifffile.imwrite(file, values, photometric="minisblack", planarconfig="contig", extratags=[tag])
    content = torch.from_numpy(np.fromfile(file, np.uint8))
    stored = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1) * (255 / 65535)
    assert torch.allclose(decode(content, Reading(channels=2, exif=False)), stored, atol=1e-4)
    shown = torch.from_numpy(turned(stored.numpy(), orientation))
    assert torch.allclose(decode(content, Reading(channels=2)), shown, atol=1e-4)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turning_is_what_pillow_does(orientation):
    pixels = np.array(picture()).transpose(2, 0, 1)
    assert (turned(pixels, orientation) == expected(orientation).numpy()).all()


@pytest.mark.parametrize("said", [0, 9, "6"])
def test_what_is_no_orientation_turns_nothing(said):
    exif = Image.Exif()
    exif[0x010E if said == "6" else TAG] = said
    stream = io.BytesIO()
    picture().save(stream, "PNG", exif=exif)
    content = torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8)
    assert torch.equal(decode(content).int(), expected(1))
