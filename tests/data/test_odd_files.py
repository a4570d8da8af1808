"""Files as instruments, spreadsheets and servers write them: read for what they hold, or refused
for what they are.
"""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from mim.data.decode import decode
from mim.data.formats import suffixes
from mim.data.levels import Reading
from mim.data.table import read_table

RAMP = (np.arange(48 * 64).reshape(48, 64) * 65535 // (48 * 64 - 1)).astype(np.uint16)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], -1)


@pytest.fixture
def written(tmp_path):
    """Bytes of a file that something writes."""

    def write(save, name="x.tif"):
        save(tmp_path / name)
        return torch.frombuffer(bytearray((tmp_path / name).read_bytes()), dtype=torch.uint8)

    return write


def tiff(values, **options):
    return lambda file: tifffile.imwrite(file, values, **options)


PLANES = np.moveaxis(COLOURS, -1, 0)
KINDS = {
    "planes in tiles": (
        PLANES,
        {"planarconfig": "separate", "photometric": "rgb", "tile": (16, 16)},
    ),
    "big-endian": (COLOURS, {"byteorder": ">", "photometric": "rgb"}),
    "compressed differences": (
        COLOURS,
        {"compression": "zlib", "predictor": True, "photometric": "rgb"},
    ),
    "with transparency": (
        np.concatenate([COLOURS, RAMP[..., None]], -1),
        {"photometric": "rgb", "extrasamples": ["unassalpha"]},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_colours_of_sixteen_bits(written, kind):
    values, options = KINDS[kind]
    image = decode(written(tiff(values, **options)))
    assert torch.allclose(image, torch.from_numpy(PLANES.astype(np.float32)) / 257, atol=1e-3)


def test_transparency_that_is_asked_for_stays(written):
    values, options = KINDS["with transparency"]
    assert decode(written(tiff(values, **options)), Reading(channels=4)).shape == (4, 48, 64)


def test_signed_bytes_are_no_unsigned_ones(written):
    content = written(tiff((RAMP // 257 - 128.0).astype(np.int8)))
    with pytest.raises(ValueError, match=r"it holds int8 from -128 to 127, and nothing says"):
        decode(content)
    image = decode(content, Reading(channels=1, range=(-128, 127)))
    assert (image.min(), image.max()) == (0, 255)


def test_unsigned_words_are_no_signed_ones(written):
    content = written(tiff(RAMP.astype(np.uint32) * 65537))
    image = decode(content, Reading(channels=1, range=(0, 2**32 - 1)))
    assert torch.allclose(image[0], torch.from_numpy(RAMP / 257).float(), atol=1e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_what_a_file_calls_no_data_is_black_and_stretches_no_range(written, dtype):
    values = (RAMP // 128).astype(dtype)
    values[0, :9] = -9999
    nothing = [(42113, "s", 0, "-9999", True)]
    image = decode(written(tiff(values, extratags=nothing)), Reading(channels=1, range="image"))
    assert torch.equal(image[0, 0, :9], torch.zeros(9))
    assert image.max() == 255
    assert image[0, 24].mean() == pytest.approx(130, abs=3)


def no_data(value):
    return {"extratags": [(42113, "s", 0, value, True)]}


@pytest.mark.parametrize("range", [None, (0, 65535), "image"])
def test_no_data_is_black_also_where_its_number_is_the_greatest(written, range):
    values = (RAMP // 2).astype(np.uint16)
    values[0, :9] = 65535
    reading = Reading(channels=1, range=range)
    image = decode(written(tiff(values, **no_data("65535"))), reading)[0]
    assert image[0, :9].tolist() == [0] * 9
    known = values[values < 65535].astype(np.float32)
    black, white = (known.min(), known.max()) if range == "image" else (0, 65535)
    expected = torch.from_numpy((values[1:] - black) * (255 / (white - black))).float()
    assert torch.allclose(image[1:], expected, atol=0.05)


def test_no_data_is_turned_round_with_the_values_where_the_least_is_white(written):
    values = RAMP.copy()
    values[0, :9] = 9
    values[1:][values[1:] == 65526] = 65525
    kind = {"photometric": "miniswhite"}
    image = decode(written(tiff(values, **kind, **no_data("9"))), Reading(channels=1))[0]
    assert image[0, :9].tolist() == [0] * 9
    assert torch.allclose(
        image[1:], torch.from_numpy((65535 - values[1:]) / 257).float(), atol=0.01
    )


def test_of_colours_a_pixel_has_no_data_where_all_of_them_say_so(written):
    values = np.array([[[255, 255, 255], [255, 9, 8]]], np.uint8)
    image = decode(written(tiff(values, photometric="rgb", **no_data("255"))))
    assert image[:, 0].tolist() == [[0, 255], [0, 9], [0, 8]]


def test_a_palette_with_a_number_for_no_data_has_its_colours(written):
    table = (np.arange(3 * 256).reshape(3, 256) * 85).astype(np.uint16)
    indices = (RAMP >> 8).astype(np.uint8)
    palette = {"photometric": "palette", "colormap": table}
    image = decode(written(tiff(indices, **palette, **no_data("0"))))
    assert torch.equal(image, decode(written(tiff(indices, **palette))))
    assert torch.equal(image, torch.from_numpy((table >> 8).astype(np.uint8)[:, indices]))


def test_two_levels_with_a_number_for_no_data_are_black_and_white(written):
    values = RAMP > 30000
    for kind in ("minisblack", "miniswhite"):
        image = decode(written(tiff(values, photometric=kind, **no_data("7"))), Reading(channels=1))
        white = values if kind == "minisblack" else ~values
        assert torch.equal(image[0], torch.from_numpy(white).byte() * 255)


@pytest.mark.parametrize(
    ("values", "base"),
    [
        ((RAMP >> 8).astype(np.uint32) + 4_000_000_000, 4e9),
        ((RAMP >> 8).astype(np.int64) - 10**12, -1e12),
        ((RAMP >> 8).astype(np.float64) / 1024 + 1e9, 1e9),
    ],
)
def test_large_values_that_lie_close_together_keep_their_differences(written, values, base):
    top = float(values.max() - base)
    content = written(lambda file: np.save(file.open("wb"), values))
    expected = torch.from_numpy(((values - base) * (255 / top)).astype(np.float32))
    for range in ((base, base + top), "image"):
        image = decode(content, Reading(channels=1, range=range))[0]
        assert torch.allclose(image, expected, atol=1e-3)


def test_smaller_copies_of_a_page_are_no_channels(written):
    def pyramid(file):
        with tifffile.TiffWriter(file) as made:
            for step in (1, 2, 4):
                made.write(RAMP[::step, ::step], subfiletype=int(step > 1))

    assert torch.equal(decode(written(pyramid)), decode(written(tiff(RAMP))))


@pytest.mark.parametrize("number", [0, 9, 77])
def test_an_orientation_that_there_is_not_turns_nothing(written, number, capfd):
    tag = {"extratags": [(274, 3, 1, number, True)], "planarconfig": "separate"}
    values = np.concatenate([PLANES, PLANES])
    content = written(tiff(values, photometric="minisblack", **tag))
    assert decode(content, Reading(channels=6)).shape == (6, 48, 64)
    assert capfd.readouterr().err == ""  # what reads it is not asked for its opinion


def test_bytes_of_a_large_tiff_in_the_other_order_say_nothing_else(written, recwarn):
    content = written(tiff(RAMP, bigtiff=True, byteorder=">"))
    assert torch.equal(decode(content), decode(written(tiff(RAMP))))
    assert not recwarn


def test_floats_of_a_pfm_are_found_and_read_from_below(written, tmp_path):
    values = (RAMP / 65535).astype("<f4")
    content = written(
        lambda file: file.write_bytes(b"Pf\n64 48\n-1.0\n" + values[::-1].tobytes()), "x.pfm"
    )
    assert ".pfm" in suffixes()
    image = decode(content, Reading(channels=1))[0]
    assert torch.allclose(image, torch.from_numpy(values * 255), atol=1e-3)


def test_nan_is_black(written):
    values = (RAMP / 65535).astype(np.float32)
    values[3, 5] = np.nan
    image = decode(written(tiff(values)), Reading(channels=1))
    assert image[0, 3, 5] == 0
    assert not image.isnan().any()


PALETTE = Image.fromarray((COLOURS >> 8).astype(np.uint8)).quantize(16)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparency_of_a_palette_is_kept_or_left_out_as_is_asked(written, kind):
    content = written(lambda file: PALETTE.save(file, kind, transparency=3))
    every, colours = decode(content, Reading(channels=4)), decode(content)
    assert torch.equal(every[:3], colours)
    clear = torch.from_numpy(np.asarray(PALETTE) == 3)
    assert torch.equal(every[3], torch.where(clear, 0, 255).byte())


def test_so_is_one_colour_that_is_transparent(written):
    grey = Image.fromarray((RAMP >> 8).astype(np.uint8))
    content = written(lambda file: grey.save(file, "PNG", transparency=7))
    made = decode(content, Reading(channels=2))
    assert torch.equal(made[0] == 7, made[1] == 0)
    assert torch.equal(decode(content, Reading(channels=1))[0], made[0])


SAME = [
    lambda file: tifffile.imwrite(file, RAMP, bigtiff=True),
    lambda file: Image.fromarray(RAMP).save(file, "JPEG2000"),
    lambda file: np.save(file.open("wb"), np.asfortranarray(RAMP)),
    lambda file: np.save(file.open("wb"), RAMP.astype(">u2")),
    lambda file: np.save(file.open("wb"), (RAMP / 65535).astype(">f8")),
    lambda file: tifffile.imwrite(file, 65535 - RAMP, photometric="miniswhite"),
]


@pytest.mark.parametrize("save", SAME, ids=range(len(SAME)))
def test_the_same_levels_in_whatever_order_their_bytes_are(written, save):
    found = decode(written(save), Reading(channels=1))
    expected = torch.from_numpy(RAMP.astype(np.float32))[None] * (255 / 65535)
    assert torch.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (500, 1), (1, 500)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_of_a_row_or_a_pixel_are_pictures(written, kind, size):
    content = written(lambda file: Image.new("RGB", size, (9, 9, 9)).save(file, kind))
    found = decode(content)
    assert found.shape == (3, size[1], size[0])
    assert (found.int() - 9).abs().max() <= 1


def test_what_is_flat_proposes_no_range_of_nothing(written):
    flat = written(lambda file: np.save(file.open("wb"), np.zeros((4, 4), np.int8)))
    with pytest.raises(
        ValueError, match=r"int8 from 0 to 0, .* data\.range=\[<black>,<white>\] for"
    ):
        decode(flat, Reading(channels=1))


def test_lab_becomes_grey_as_its_colours_do(written):
    picture = Image.fromarray((COLOURS >> 8).astype(np.uint8)).convert("LAB")
    content = written(picture.save)
    colours, grey = decode(content), decode(content, Reading(channels=1))
    weighed = (colours.float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    assert (grey[0].float() - weighed).abs().max() <= 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"<html>404 Not Found</html>",
            "it is no picture: it begins with <html>404 Not Found</htm",
        ),
        (
            b"\0\1\2\3\4\5\6\7\x08",
            "it is no picture: it begins with the bytes 00 01 02 03 04 05 06 07",
        ),
        (b"II*\0\0\0\0\0", "it is a TIFF without a page"),
        (b"PK\3\4 and no more", r"it begins as a \.npz file, and its end is not there"),
        (
            b"\x93NUMPY\1\0\x46\0{'descr': '|u1', 'fortran_order': False, 'shape': (-4, -5)}"
            b"           \n",
            r"it is an array of shape \(-4, -5\); needs \(height, width\)",
        ),
        (
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            "it is a HEIF picture, which is not read here: pip",
        ),
    ],
)
def test_what_is_no_picture_is_said_by_what_it_is(content, said):
    with pytest.raises(ValueError, match="^" + said):
        decode(torch.frombuffer(bytearray(content), dtype=torch.uint8))


TABLES = {
    "UTF-16": "path,label\na.png,Bär\n".encode("utf-16"),
    "a mark": "\ufeffpath,label\r\na.png,Bär\r\n".encode(),
    "semicolons and quotes": 'path;label\n"a.png";"Bär"\n'.encode(),
    "tabs": "path\tlabel\na.png\tBär\n".encode(),
    "spaces": "path, label\na.png, Bär\n".encode(),
    "lines within": 'path,label,note\na.png,Bär,"two\nlines"\n'.encode(),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_as_spreadsheets_write_them(tmp_path, kind):
    (tmp_path / "t.csv").write_bytes(TABLES[kind])
    table = read_table(tmp_path / "t.csv")
    assert (table.path, table.label) == (["a.png"], ["Bär"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "path,label\na.png,Bär\n".encode("latin-1"),
            "is not written in UTF-8 .*; save it as UTF-8",
        ),
        (
            b"a.png,cat\nb.png,dog\n",
            "has no header: its first line is a.png, cat; put a line before",
        ),
    ],
)
def test_a_table_that_is_not_read_says_how_to_mend_it(tmp_path, content, said):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_table(tmp_path / "t.csv")
