import io

import numpy as np
import pytest
import torch
from PIL import Image

from mim.data.decode import decode


def read_picture(path):
    return decode(torch.from_numpy(np.fromfile(path, np.uint8)))


COLOUR = (200, 100, 50)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "jpg"), ("RGB", "png"), ("RGB", "webp"), ("RGB", "bmp"), ("RGB", "tiff"), ("RGBA",
     "png"), ("P", "png"),
     ("P", "gif"), ("CMYK", "jpg"), ("CMYK", "tiff")],
)  # fmt: skip
def test_every_format_is_read_as_rgb(tmp_path, mode, suffix):
    path = tmp_path / f"picture.{suffix}"
    Image.new("RGB", (9, 6), COLOUR).convert(mode).save(path)
    image = read_picture(path)
    assert (image.shape, image.dtype) == ((3, 6, 9), torch.uint8)
    assert image[:, 3, 3].tolist() == pytest.approx(COLOUR, abs=26)  # a palette has 216 colours


def test_grey_becomes_three_equal_channels(tmp_path):
    Image.new("L", (4, 4), 77).save(tmp_path / "grey.png")
    assert read_picture(tmp_path / "grey.png").unique().tolist() == [77]


def test_sixteen_bits_are_levels_with_all_that_they_say(tmp_path):
    Image.fromarray(np.full((4, 4), 200 * 257 + 64, dtype=np.uint16)).save(tmp_path / "deep.png")
    image = read_picture(tmp_path / "deep.png")
    assert (image.shape, image.dtype) == ((3, 4, 4), torch.float32)
    assert image.unique().tolist() == pytest.approx([200 + 64 / 257])


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "moving.gif").unique().tolist() == [10]


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "bmp"])
@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_a_truncated_file_is_an_error(tmp_path, suffix, kept):
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
        content, {"jpg": "jpeg"}.get(suffix, suffix)
    )
    path = tmp_path / f"broken.{suffix}"
    path.write_bytes(content.getvalue()[: int(len(content.getvalue()) * kept)])
    with pytest.raises((OSError, RuntimeError) if kept else ValueError):
        read_picture(path)
