"""What is in a file is what a network sees: types, byte orders, channels, and refusals in one
line.
"""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from mim.data.decode import decode
from mim.data.files import Files
from mim.data.levels import Reading, as_channels, to_levels

RAMP = np.linspace(0, 65535, 6 * 9).round().astype(np.uint16).reshape(6, 9)


def read(file: Path, **reading) -> torch.Tensor:
    return decode(Files([str(file)], [-1]).content(0), Reading(**reading))


def save_pgm(file: Path, values: np.ndarray) -> None:
    file.write_bytes(b"P5 9 6 65535\n" + values.astype(">u2").tobytes())


SAVED = {
    "big endian": lambda file: tifffile.imwrite(file, RAMP, byteorder=">"),
    "little endian": lambda file: tifffile.imwrite(file, RAMP, byteorder="<"),
    "deflate": lambda file: tifffile.imwrite(file, RAMP, compression="zlib"),
    "tiles": lambda file: tifffile.imwrite(file, RAMP, tile=(16, 16)),
    "png": lambda file: Image.fromarray(RAMP).save(file, "PNG"),
    "pgm": lambda file: save_pgm(file, RAMP),
    "array": lambda file: np.save(file.open("wb"), RAMP),
}


@pytest.mark.parametrize("kind", SAVED)
def test_grey_of_sixteen_bits_keeps_every_level(tmp_path, kind):
    SAVED[kind](tmp_path / "picture")
    image = read(tmp_path / "picture", channels=1)
    assert image.shape == (1, 6, 9)
    assert torch.allclose(image[0], torch.from_numpy(RAMP.astype(np.float32)) / 257, atol=1e-3)
    assert torch.equal(read(tmp_path / "picture"), image.expand(3, -1, -1))  # grey repeated


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_other_types_need_a_range_and_have_one_each_if_asked(tmp_path, dtype):
    values = np.array([[0, 1000], [2000, 4000]], dtype)
    tifffile.imwrite(tmp_path / "picture.tif", values)
    expected = [[0, 63.75], [127.5, 255]]
    assert read(tmp_path / "picture.tif", channels=1, range=(0, 4000))[0].tolist() == expected
    assert read(tmp_path / "picture.tif", channels=1, range="image")[0].tolist() == expected
    assert read(tmp_path / "picture.tif", channels=1, range=(1000, 2000))[0].tolist() == [
        [0, 0],
        [255, 255],
    ]
    with pytest.raises(
        ValueError,
        match=r"from 0 to 4000, and nothing says which are black and white; give "
        r"data.range=\[0,4000\]",
    ):
        read(tmp_path / "picture.tif", channels=1)


def test_percentiles_are_not_moved_by_a_few_wrong_pixels(tmp_path):
    values = np.tile(np.linspace(0, 1000, 101, dtype=np.float32), (50, 1))
    values[0, 0], values[0, 1] = -1e6, 1e6
    np.save(tmp_path / "picture.npy", values)
    image = read(tmp_path / "picture.npy", channels=1, range="percentiles")[0]
    expected = np.clip((values - 10) * (255 / 980), 0, 255)
    assert torch.allclose(image, torch.from_numpy(expected), atol=2)
    low, high = read(tmp_path / "picture.npy", channels=1, range="image")[0].aminmax()
    assert (float(low), float(high)) == pytest.approx((0, 255))


def test_of_a_large_image_some_values_say_its_percentiles():
    values = np.random.default_rng(0).normal(100, 10, (1, 600, 700)).astype(np.float32)
    low, high = np.percentile(values, [1, 99])
    assert torch.allclose(
        to_levels(values, "percentiles"), to_levels(values, (float(low), float(high))), atol=4
    )


@pytest.mark.parametrize("names", [("only",), ("mask", "image")])
def test_of_a_packed_file_the_only_array_is_read_or_the_one_called_image(tmp_path, names):
    arrays = {name: np.full((6, 9), number, np.uint8) for number, name in enumerate(names)}
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    assert read(tmp_path / "packed.npz", channels=1).unique().tolist() == [len(names) - 1]


def test_packed_files_that_say_too_little_or_hold_too_much_are_refused(tmp_path):
    np.savez(tmp_path / "two.npz", a=RAMP, b=RAMP)
    with pytest.raises(
        ValueError,
        match=r"a \.npz file of the arrays a, b; needs one alone, or one that is called image",
    ):
        read(tmp_path / "two.npz")
    np.savez_compressed(tmp_path / "bomb.npz", np.zeros((4000, 4000), np.uint8))
    with pytest.raises(
        ValueError, match=r"its array has 16,000,128 bytes, more than data\.max_megapixels=0\.1"
    ):
        read(tmp_path / "bomb.npz", max_megapixels=0.1)
    np.savez(tmp_path / "objects.npz", np.array([{}], object))
    with pytest.raises(ValueError, match="holds Python objects, which could run code"):
        read(tmp_path / "objects.npz")


def test_floats_from_0_to_1_are_known_and_what_is_missing_is_black(tmp_path):
    tifffile.imwrite(tmp_path / "picture.tif", np.array([[0, 0.5], [1, np.nan]], np.float32))
    assert read(tmp_path / "picture.tif", channels=1)[0].tolist() == [[0, 127.5], [255, 0]]


@pytest.mark.parametrize("channels", [2, 4, 5, 13])
@pytest.mark.parametrize("layout", ["contig", "separate", "pages", "npy first", "npy last"])
def test_many_channels_are_all_there_in_their_order(tmp_path, channels, layout):
    values = np.random.default_rng(0).integers(0, 255, (channels, 16, 24), np.uint8)
    file = tmp_path / ("array.npy" if "npy" in layout else "picture.tif")
    if layout == "contig":
        tifffile.imwrite(
            file, values.transpose(1, 2, 0), planarconfig="contig", photometric="minisblack"
        )
    elif layout == "separate":
        tifffile.imwrite(file, values, planarconfig="separate", photometric="minisblack")
    elif layout == "pages":
        tifffile.imwrite(file, values, photometric="minisblack")
    else:
        np.save(file, values if "first" in layout else values.transpose(1, 2, 0))
    image = read(file, channels=channels)
    assert image.dtype == torch.uint8
    assert torch.equal(image, torch.from_numpy(values))


@pytest.mark.parametrize(("found", "asked"), [(13, 3), (4, 5), (3, 4), (1, 5)])
def test_channels_that_a_file_does_not_have_are_refused_in_one_line(tmp_path, found, asked):
    np.save(tmp_path / "array.npy", np.zeros((found, 16, 24), np.uint8))
    with pytest.raises(
        ValueError,
        match=rf"has {found} channels?, and data.channels={asked} asks for {asked}; give data.chan",
    ):
        read(tmp_path / "array.npy", channels=asked)


def test_a_fourth_band_is_not_dropped_without_a_word(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (16, 24, 4), np.uint8)
    tifffile.imwrite(
        tmp_path / "infrared.tif", values, photometric="rgb", extrasamples=["unspecified"]
    )
    with pytest.raises(ValueError, match=r"4 channels, and data\.channels=3 asks for 3"):
        read(tmp_path / "infrared.tif")
    assert torch.equal(
        read(tmp_path / "infrared.tif", channels=4), torch.from_numpy(values).permute(2, 0, 1)
    )


def test_transparency_is_kept_or_left_out_as_is_asked(tmp_path):
    picture = Image.new("RGBA", (5, 4), (200, 100, 50, 30))
    picture.save(tmp_path / "picture.png")
    assert read(tmp_path / "picture.png")[:, 0, 0].tolist() == [200, 100, 50]
    assert read(tmp_path / "picture.png", channels=4)[:, 0, 0].tolist() == [200, 100, 50, 30]
    with pytest.raises(ValueError, match=r"has 4 channels, and data\.channels=5"):
        read(tmp_path / "picture.png", channels=5)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_colours_become_grey_as_pillow_makes_them(tmp_path, suffix):
    picture = Image.fromarray(
        np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)
    ).resize((240, 160))
    picture.save(tmp_path / f"picture.{suffix}", quality=95)
    grey = np.asarray(Image.open(tmp_path / f"picture.{suffix}").convert("L"))
    assert (
        np.abs(read(tmp_path / f"picture.{suffix}", channels=1)[0].numpy().astype(int) - grey).max()
        <= 2
    )
    stored = as_channels(torch.from_numpy(np.array(picture)).permute(2, 0, 1), 1)
    assert torch.equal(stored[0], torch.from_numpy(np.asarray(picture.convert("L"))))
    assert (
        as_channels(torch.from_numpy(np.array(picture)).permute(2, 0, 1).float(), 1) - stored
    ).abs().max() < 0.6


def test_arrays_that_could_run_code_or_are_too_large_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="holds Python objects, which could run code"):
        read(tmp_path / "objects.npy")
    np.save(tmp_path / "large.npy", np.zeros((3, 40, 50), np.uint8))
    with pytest.raises(
        ValueError, match=r"50 x 40 pixels, 0 million, and at most data\.max_megapixels=0\.0019"
    ):
        read(tmp_path / "large.npy", max_megapixels=0.0019)
    np.save(tmp_path / "deep.npy", np.zeros((30, 40, 50), np.uint8))
    with pytest.raises(
        ValueError,
        match=r"holds 60,000 values, more than four for each of data\.max_megapixels=0\.002",
    ):
        read(tmp_path / "deep.npy", channels=30, max_megapixels=0.002)


def test_words_and_complex_numbers_are_no_pixels():
    with pytest.raises(ValueError, match="values of type complex128, no numbers"):
        to_levels(np.zeros((2, 2), complex), None)
