"""Colours of 16 bits in PNG and PPM: all that is stored, with or without transparency."""

import struct

import numpy as np
import pytest
import torch
from PIL import Image

from mim.augment.no_augment import NoAugment
from mim.data.decode import decode, read_values
from mim.data.image_folder import ImageFolder
from mim.data.levels import LUMA, Reading
from tests.data.png import chunk, png_file

KIND = {1: 0, 2: 4, 3: 2, 4: 6}  # of colour, by channels
ROWS, COLUMNS = 6, 9
BIG_ENDIAN_SIX = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def png(values, **chunks):
    """Bytes of (c, H, W) uint16."""
    channels, height, width = values.shape
    rows = b"".join(b"\0" + row.T.astype(">u2").tobytes() for row in values.transpose(1, 0, 2))
    return png_file((width, height), 16, KIND[channels], rows, **chunks)


def ppm(values, most):
    header = f"P6\n# made by hand\n{values.shape[2]} {values.shape[1]}\n{most}\n".encode()
    return header + values.transpose(1, 2, 0).astype(">u2").tobytes()


def drawn(channels, most=65535):
    return np.random.default_rng(channels).integers(
        0, most, (channels, ROWS, COLUMNS), np.uint16, endpoint=True
    )


def levels(values):
    return torch.from_numpy(values.astype(np.float64) / 257).float()


def read(content, **reading):
    return decode(torch.frombuffer(bytearray(content), dtype=torch.uint8), Reading(**reading))


def close(found, expected):
    """Within a hundredth of a level of 16 bits."""
    return found.dtype == torch.float32 and torch.allclose(found, expected, rtol=0, atol=4e-5)


@pytest.mark.filterwarnings("ignore:The image decoding")  # torchvision says it where it is chosen
@pytest.mark.parametrize("decoder", [None, "torchcodec", "torchvision", "pillow", "nvjpeg"])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_all_bits_are_read_and_transparency_where_it_is_asked_for(channels, decoder):
    values = drawn(channels)
    colours = values[:-1] if channels in (2, 4) else values
    content = png(values)
    assert close(read(content, channels=channels, decoder=decoder), levels(values))
    shown = levels(colours).expand(3, -1, -1)
    assert close(read(content, decoder=decoder), shown)
    grey = sum(share * shown[i] for i, share in enumerate(LUMA)) / 65536
    assert close(read(content, channels=1, decoder=decoder), grey[None])


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_what_is_in_a_file_is_said_as_it_is(channels):
    values = drawn(channels)
    content = torch.frombuffer(bytearray(png(values)), dtype=torch.uint8)
    found = read_values(content, Reading(channels=0)).values
    assert found.dtype == np.uint16
    assert (found == values).all()


def test_one_colour_may_stand_for_transparency():
    values = drawn(3)
    values[:, 0, 0] = values[:, 5, 8] = 1, 2, 3
    content = png(values, before=chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)))
    image = read(content, channels=4)
    assert close(image[:3], levels(values))
    clear = torch.full((ROWS, COLUMNS), 255.0)
    clear[0, 0] = clear[5, 8] = 0
    assert torch.equal(image[3], clear)
    assert close(read(content), levels(values))


@pytest.mark.filterwarnings("ignore:The image decoding")
@pytest.mark.parametrize("decoder", ["torchcodec", "torchvision"])
@pytest.mark.parametrize("place", ["before", "behind"])
def test_they_are_turned_or_not_as_is_asked(decoder, place):
    values = drawn(3)
    content = png(values, **{place: chunk(b"eXIf", BIG_ENDIAN_SIX)})
    assert close(read(content, decoder=decoder, exif=False), levels(values))
    turned = np.rot90(values, -1, axes=(1, 2))
    assert close(read(content, decoder=decoder), levels(turned))


def test_a_range_says_what_is_white():
    values = drawn(3, most=4095)
    assert close(read(png(values), range=(0, 4095)), levels(values) * torch.tensor(65535 / 4095))


@pytest.mark.parametrize("most", [65535, 4095, 256])
def test_colours_of_a_ppm(most):
    values = drawn(3, most)
    whole = np.rint(values / most * 65535)
    assert close(read(ppm(values, most)), levels(whole))


def test_colours_of_a_ppm_that_is_text():
    values = drawn(3)
    words = [str(value) for value in values.transpose(1, 2, 0).reshape(-1)]
    said = (
        f"P3 {COLUMNS} {ROWS} 65535\n{words[0]} # 99 is a remark\n{' '.join(words[1:])}\n".encode()
    )
    assert close(read(said), levels(values))
    with pytest.raises((OSError, ValueError)):
        read(said[:-200])


def test_a_ppm_of_eight_bits_stays_bytes():
    header, values = b"P6 2 1 200 ", bytes([0, 100, 200, 7, 8, 9])
    image = read(header + values)
    assert image.dtype == torch.uint8
    assert image[:, 0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("kept", [0.3, 0.9])
@pytest.mark.parametrize("kind", ["png", "ppm"])
def test_a_file_that_was_cut_off_is_an_error(kind, kept):
    content = png(drawn(3)) if kind == "png" else ppm(drawn(3), 65535)
    with pytest.raises((OSError, ValueError, SyntaxError)):
        read(content[: int(len(content) * kept)])


def test_where_nothing_reads_them_that_is_said(monkeypatch):
    monkeypatch.setattr("mim.data.deep_colours.fastest", lambda: "pillow")
    with pytest.raises(ValueError, match="needs torchcodec: pip install torchcodec") as error:
        read(png(drawn(4)))
    assert "\n" not in str(error.value)


def test_grey_is_left_to_pillow(monkeypatch):
    monkeypatch.setattr("mim.data.deep_colours.fastest", lambda: "pillow")
    assert close(read(png(drawn(1))), levels(drawn(1)).expand(3, -1, -1))


@pytest.mark.parametrize("in_memory", [False, True])
def test_they_lie_beside_pictures_of_eight_bits(tmp_path, in_memory):
    deep, flat = drawn(3), (drawn(3) >> 8).astype(np.uint8)
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.png").write_bytes(png(deep))
        Image.fromarray(flat.transpose(1, 2, 0)).save(tmp_path / part / "b.png")
    shown = {"image_size": (ROWS, COLUMNS), "mean": [0.0] * 3, "std": [1.0] * 3}
    data = ImageFolder(
        str(tmp_path), NoAugment(), batch_size=2, num_workers=0, in_memory=in_memory, **shown
    )
    (batch,) = list(data.train_dataloader())
    images = data.on_after_batch_transfer(batch).image[batch.index.argsort()] * 255
    assert torch.allclose(images[0], levels(deep), atol=1e-3)
    assert torch.allclose(images[1], torch.from_numpy(flat).float(), atol=1e-3)
