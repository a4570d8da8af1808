"""Pictures that somebody else has made: small files that ask for much memory, programs in a
picture's name, pipes.
"""

import io
import os
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.centre import LONGEST_STRIP, CentreCrop
from mim.augment.crop_flip import CropFlip
from mim.data.decode import decode
from mim.data.files import Files
from mim.data.image_folder import ImageFolder
from mim.data.levels import Reading
from mim.data.webdataset import WebDataset
from mim.figure.images import read_files
from tests.data.png import png_file
from tests.data.test_webdataset import add, tarfile


def png(width, height):
    return png_file((width, height), 8, 2, bytes(10**5))


def gif(width, height, frames=1, screen=None):
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00"
    head = (
        b"GIF89a"
        + struct.pack("<HH", *(screen or (width, height)))
        + b"\x80\x00\x00"
        + b"\x00\x00\x00\xff\xff\xff"
    )
    return head + frame * frames + b"\x3b"


def encoded(kind, width, height):
    """A small picture whose header is changed to another size."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 48)).save(stream, kind)
    content = bytearray(stream.getvalue())
    if kind == "BMP":
        content[18:26] = struct.pack("<ii", width, height)
    elif kind == "PPM":
        return b"P6 %d %d 255\n" % (width, height) + bytes(100)
    elif kind == "JPEG":
        at = content.index(b"\xff\xc0")
        content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    elif kind == "TIFF":
        content = content.replace(
            b"\x00\x01\x04\x00\x01\x00\x00\x00\x40\x00\x00\x00",
            b"\x00\x01\x04\x00\x01\x00\x00\x00" + struct.pack("<I", width),
        )
        content = content.replace(
            b"\x01\x01\x04\x00\x01\x00\x00\x00\x30\x00\x00\x00",
            b"\x01\x01\x04\x00\x01\x00\x00\x00" + struct.pack("<I", height),
        )
    return bytes(content)


BOMBS = {
    "png": png(30_000, 30_000),
    "png of one line": png(2**31 - 1, 1),
    "gif": gif(60_000, 60_000),
    "gif of a large frame on a small screen": gif(60_000, 60_000, screen=(8, 8)),
    "jpg": encoded("JPEG", 60_000, 60_000),
    "bmp": encoded("BMP", 60_000, 60_000),
    "ppm": encoded("PPM", 60_000, 60_000),
    "tiff": encoded("TIFF", 60_000, 60_000),
}


def tensor(content):
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


@pytest.mark.parametrize("what", BOMBS)
def test_a_header_that_asks_for_too_many_pixels_is_refused_before_they_are_decoded(
    what, monkeypatch
):
    monkeypatch.setattr("mim.data.decode.decode_jpeg", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    with pytest.raises(
        ValueError, match=r"million, and at most data\.max_megapixels=179 are decoded"
    ):
        decode(tensor(BOMBS[what]))


def test_the_limit_is_one_for_every_format_and_can_be_set():
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
        stream = io.BytesIO()
        Image.new("RGB", (50, 40)).save(stream, kind)
        assert decode(tensor(stream.getvalue()), Reading(0.002)).shape == (3, 40, 50)
        with pytest.raises(
            ValueError, match=r"50 x 40 pixels, 0 million, and at most data\.max_megapixels=0\.0019"
        ):
            decode(tensor(stream.getvalue()), Reading(0.0019))


def test_of_an_animation_only_the_first_frame_is_decoded():
    stream = io.BytesIO()
    Image.new("L", (4000, 4000)).save(stream, "GIF")
    head, frame = stream.getvalue()[:-1].split(b",", 1)
    moving = head + (b"," + frame) * 300 + b";"  # 14 GB, if all were decoded
    assert decode(tensor(moving)).shape == (3, 4000, 4000)


def test_a_picture_that_would_start_a_program_is_none(tmp_path, trap):
    script = (
        f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch {trap}) (w) "
        "file\nshowpage\n"
    )
    with pytest.raises(ValueError, match="it is no picture"):
        decode(tensor(script.encode()))
    assert not trap.exists()


def smooth(folder, count):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / f"{number:03}.png")
    return folder


def data_of(root, kind=ImageFolder, **settings):
    return kind(str(root), CropFlip(TorchvisionBoxes()), 16, 4, num_workers=0, **settings)


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.filterwarnings("ignore:skipped")
def test_a_folder_of_bombs_is_refused_with_the_setting(tmp_path, in_memory):
    root = smooth(tmp_path / "pictures", 30)
    for number in range(3):
        (root / f"{number:03}.png").write_bytes(BOMBS["png"])
    with pytest.raises(
        ValueError, match=r"[23] of 30 pictures cannot be read.*data\.max_megapixels=179"
    ):
        seen(data_of(root, in_memory=in_memory))
    with pytest.raises(
        ValueError, match=r"of 30 pictures cannot be read.*data\.max_megapixels=0\.0001"
    ):
        seen(data_of(root, in_memory=in_memory, max_megapixels=0.0001))


def seen(data):
    return [data.on_after_batch_transfer(batch).image.shape for batch in data.val_dataloader()] + [
        data.on_after_batch_transfer(batch).image.shape for batch in data.bank_dataloader()
    ]


@pytest.mark.filterwarnings("ignore:skipped")
def test_bombs_in_shards_are_refused_with_the_setting(tmp_path):
    with tarfile.open(tmp_path / "x-train.tar", "w") as tar:
        for number, content in enumerate([*BOMBS.values(), *[gif(4, 4)] * 10]):
            add(tar, f"{number}.{'gif' if content[:3] == b'GIF' else 'png'}", content)
    with pytest.raises(
        ValueError, match=r"pictures cannot be read.*x-train\.tar/.*data\.max_megapixels=179"
    ):
        seen(data_of(tmp_path, WebDataset))


def test_pipes_and_devices_are_no_pictures(tmp_path):
    root = smooth(tmp_path / "pictures", 30)
    os.mkfifo(root / "999.png")
    (root / "998.png").symlink_to("/dev/zero")
    data = data_of(root)
    seen(data)
    assert data.train_size + len(data.splits.val) == 30
    # one that took the place of a picture after they were listed
    for name in ("998.png", "999.png"):
        with pytest.raises(ValueError, match="is a pipe, a socket or a device"):
            Files([str(root / name)], [-1]).content(0)


def test_a_file_of_holes_is_not_read(tmp_path):
    with (tmp_path / "x.png").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(ValueError, match="it has 1,099,511,627,776 bytes, more than a picture of"):
        Files([str(tmp_path / "x.png")], [-1]).content(0)


def test_a_figure_of_such_files_is_refused(tmp_path):
    (tmp_path / "x.png").write_bytes(BOMBS["png"])
    os.mkfifo(tmp_path / "pipe.png")
    for file, said in (("x.png", "max_megapixels"), ("pipe.png", "is a pipe")):
        with pytest.raises(ValueError, match=said):
            read_files([tmp_path / file], 32)


@pytest.mark.parametrize("shape", [(1, 10**6), (10**6, 1), (3, 10**5)])
def test_a_long_strip_is_not_enlarged_whole(shape):
    ((image, box, _),) = CentreCrop(224)(
        [torch.zeros(3, *shape, dtype=torch.uint8)], torch.zeros(1)
    )
    assert image.shape == (1, 3, 224, 224)
    across = 0 if shape[1] > shape[0] else 1
    length = 256 * max(shape) // min(shape)
    assert (box[0, across + 2] - box[0, across]).item() == pytest.approx(224 / length, rel=0.1)


def test_what_is_no_strip_is_cut_as_ever():
    generator = np.random.default_rng(0)
    for height, width in ((40, 40), (40, 41), (40, 40 * LONGEST_STRIP), (97, 31)):
        picture = torch.from_numpy(generator.integers(0, 255, (3, height, width), dtype=np.uint8))
        ((image, box, _),) = CentreCrop(24)([picture], torch.zeros(1))
        from torchvision.transforms.v2 import functional as F

        resized = F.resize(picture, [27], F.InterpolationMode.BICUBIC, antialias=True)
        assert torch.equal(image[0], F.center_crop(resized, [24, 24]))
        sides = torch.tensor([resized.shape[2], resized.shape[1]] * 2)
        assert ((box[0] * sides).round() - box[0] * sides).abs().max() < 1e-3


def test_a_damaged_png_does_not_end_the_process():
    """Of torchvision 0.29.2 it did: a flipped byte in the packed pixels was a segmentation
    fault.
    """
    whole = png(20, 20)
    at = whole.index(b"IDAT")
    refused = 0
    for place in range(at + 4, at + 40, 3):
        broken = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        try:
            assert decode(tensor(broken)).shape == (3, 20, 20)
        except (OSError, SyntaxError, ValueError):
            refused += 1
    assert refused > 3
