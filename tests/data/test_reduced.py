"""JPEGs decoded at a part of their size where crops allow it: nearly the same views, of the same
boxes.
"""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.centre import CentreCrop
from mim.augment.crop_flip import CropFlip
from mim.augment.pictures import Cropped
from mim.augment.reduced import DIVISORS, Sides, divisor_of
from mim.data.decode import decode
from mim.data.files import Files
from mim.data.from_files import FromFiles
from mim.data.levels import Reading
from mim.data.sampler import Rows

ROWS = Rows(torch.arange(4), torch.arange(4) * 7919)


@pytest.fixture
def photographs(tmp_path):
    """Four JPEGs that look like photographs: large smooth shapes, and some noise."""
    random = np.random.default_rng(0)
    for number, size in enumerate([(301, 402), (403, 300), (512, 512), (90, 120)]):
        coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8))
        smooth = np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC)).astype(float)
        noisy = (smooth + random.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
        exif = Image.Exif()
        exif[274] = 6 if number == 1 else 1
        Image.fromarray(noisy).save(tmp_path / f"{number}.jpg", quality=92, exif=exif)
    return [str(file) for file in sorted(tmp_path.iterdir())]


def views(paths, cut, reduced):
    files = Files(paths, [-1] * len(paths), Reading(reduced=reduced))
    return FromFiles(files, torch.arange(len(paths)), cut)[ROWS].views[0]


@pytest.mark.parametrize(
    "cut", [Cropped(CropFlip(TorchvisionBoxes()), 32), CentreCrop(32)], ids=["crops", "centres"]
)
def test_views_are_nearly_those_of_whole_pictures(photographs, cut):
    whole, reduced = (views(photographs, cut, each) for each in (False, True))
    assert torch.allclose(whole.box, reduced.box, atol=1e-6)
    assert torch.equal(whole.flip, reduced.flip)
    assert torch.equal(whole.image[3], reduced.image[3])  # too small to be reduced
    distance = (whole.image.float() - reduced.image.float()).abs().mean((1, 2, 3))
    assert (distance[:3] > 0).all()
    assert distance.max() < 5


def test_a_box_is_that_of_the_whole_picture(photographs):
    cut = Cropped(CropFlip(TorchvisionBoxes()), 32)
    assert torch.equal(views(photographs, cut, False).box, views(photographs, cut, True).box)


@pytest.mark.parametrize("divisor", [1, 2, 4, 8])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_sides_are_divided_and_rounded_up(divisor, mode):
    stream = io.BytesIO()
    Image.new(mode, (61, 43)).save(stream, "JPEG")
    content = torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8)
    asked = []
    image = decode(content, Reading(), lambda *sides: asked.append(sides) or divisor)
    assert image.shape == (3, -(-43 // divisor), -(-61 // divisor))
    assert asked == [(43, 61)]


@given(*[st.integers(1, 4000)] * 2, *[st.integers(1, 600)] * 2)
def test_a_crop_keeps_twice_the_pixels_of_its_image_and_loses_the_others(height, width, tall, wide):
    divisor = divisor_of(Sides(height, width), Sides(tall, wide))
    assert divisor == 1 or (height >= 2 * divisor * tall and width >= 2 * divisor * wide)
    larger = [each for each in DIVISORS if each > divisor]
    assert not any(height >= 2 * each * tall and width >= 2 * each * wide for each in larger)
