"""JPEG is decoded by one of three libraries, to the same pixels."""

import io
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from mim.augment.no_augment import NoAugment
from mim.data import jpeg
from mim.data.decode import decode
from mim.data.files import Files
from mim.data.image_folder import ImageFolder
from mim.data.levels import Reading


def encoded(mode, size=(61, 43), **options):
    values = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    picture = Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).convert(mode)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", **options)
    return torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8)


KINDS = {
    "colour": {"mode": "RGB"},
    "grey": {"mode": "L"},
    "cmyk": {"mode": "CMYK"},
    "progressive": {"mode": "RGB", "progressive": True},
    "all colours": {"mode": "RGB", "subsampling": 0, "quality": 98},
    "coarse": {"mode": "RGB", "quality": 10},
}


@pytest.mark.filterwarnings("ignore:The image decoding")  # torchvision says it where it is chosen
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_all_give_the_same_pixels(kind, channels):
    content = encoded(**KINDS[kind])
    images = [decode(content, Reading(channels=channels, decoder=name)) for name in jpeg.DECODERS]
    assert images[0].shape == (channels, 43, 61)
    assert torch.equal(images[0], images[1])
    if (kind, channels) != ("cmyk", 1):  # grey of four colours is nobody's agreement
        worst = 3 if kind == "cmyk" else 0
        assert (images[0].int() - images[2].int()).abs().max() <= worst


def test_what_is_not_installed_is_refused_before_anything_is_read(pictures, monkeypatch):
    def absent(name):
        raise ImportError(f"No module named {name!r}")

    jpeg._decoder.cache_clear()
    monkeypatch.setattr(jpeg, "import_module", absent)
    with pytest.raises(
        ValueError, match=r"data\.decoder=torchcodec cannot be used .*pip install torchcodec"
    ):
        ImageFolder(str(pictures("", 2)), NoAugment(), 16, 2, decoder="torchcodec")
    assert jpeg.fastest.__wrapped__() == "pillow"
    monkeypatch.undo()
    jpeg._decoder.cache_clear()
    assert jpeg.fastest.__wrapped__() == "torchcodec"


def test_a_broken_file_is_said_in_the_words_of_pillow():
    content = encoded("RGB")
    with pytest.raises(OSError, match=r"(?i)truncated"):
        decode(content[: len(content) // 2])


def test_no_deprecated_function_is_used_where_torchcodec_is_installed(pictures):
    root = pictures("", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        assert Files([str(root / "000.jpg")], [-1]).read(0).shape == (3, 24, 24)
