"""DICOM's tables and sigmoids: units and levels as the standard has them, and as pydicom makes
them.
"""

import numpy as np
import pytest
import torch
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from mim.data.decode import read_values
from tests.data.test_dicom import RAMP, close, content, grey, scaled, sequence

CURVE = (np.arange(4096, dtype=np.float64) / 4095) ** 2


def table(entries, first=0, bits=16):
    packed = entries.tobytes() + bytes(len(entries) * entries.itemsize % 2)
    return sequence(LUTDescriptor=[len(entries), first, bits], LUTData=packed)


def described(**tags):
    file = Dataset()
    file.PhotometricInterpretation, file.PixelRepresentation, file.BitsStored = "MONOCHROME2", 0, 12
    for name, value in tags.items():
        setattr(file, name, value)
    return file


@pytest.mark.parametrize(("centre", "width"), [("2048", "1024"), ("300", "50")])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_a_sigmoid_shows_values_as_pydicom_has_it(centre, width, kind):
    tags = {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": "SIGMOID"}
    expected = scaled(apply_voi_lut(RAMP, described(**tags)), 0, 4095)
    found = grey(kind=kind, **tags)
    assert close(found, 255 - expected if kind == "MONOCHROME1" else expected)


def test_a_sigmoid_of_units():
    tags = {"WindowCenter": "40", "WindowWidth": "400", "VOILUTFunction": "SIGMOID"}
    rescaled = {"RescaleSlope": "2", "RescaleIntercept": "-1024"}
    units = RAMP * 2.0 - 1024
    expected = torch.from_numpy(255 / (1 + np.exp(-4 * (units - 40) / 400))).float()
    assert close(grey(**tags, **rescaled), expected)
    assert close(grey(**tags, **rescaled, range=(-160, 240)), scaled(units, -160, 240))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_a_table_shows_values(bits, kind):
    entries = np.rint(CURVE * (2**bits - 1)).astype(np.uint16)
    found = grey(kind=kind, VOILUTSequence=table(entries, bits=bits))
    expected = torch.from_numpy(entries[RAMP] / (2**bits - 1) * 255).float()
    assert close(found, 255 - expected if kind == "MONOCHROME1" else expected)


def test_entries_of_eight_bits_may_have_a_byte_each():
    entries = np.arange(255, dtype=np.uint8)[::-1]
    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert close(
        grey(values, bits=8, VOILUTSequence=table(entries, bits=8)), scaled(254 - values, 0, 255)
    )


def test_a_table_begins_where_it_says_and_its_ends_go_on():
    entries = np.array([100, 200, 300, 400], np.uint16)
    values = np.array([[0, 6, 7, 8, 9, 10, 11, 4000]], np.uint16)
    found = grey(values, VOILUTSequence=table(entries, first=7))
    expected = np.array([[100, 100, 100, 200, 300, 400, 400, 400]])
    assert close(found, torch.from_numpy(expected / 257).float())
    assert (apply_voi_lut(values, described(VOILUTSequence=read(entries, 7))) == expected).all()


def read(entries, first):
    """As pydicom has it once it has read a file."""
    return sequence(LUTDescriptor=[len(entries), first, 16], LUTData=entries.tolist())


def test_a_table_of_units_below_zero():
    entries = np.rint(CURVE * 65535).astype(np.uint16)
    tags = {"RescaleSlope": "1", "RescaleIntercept": "-1024"}
    found = grey(VOILUTSequence=table(entries, first=2**16 - 1024), **tags)
    assert close(found, torch.from_numpy(entries[RAMP] / 257).float())


def test_units_out_of_a_table_are_those_of_pydicom():
    entries = np.rint(CURVE * 65535).astype(np.uint16)
    found = read_values(content(ModalityLUTSequence=table(entries, first=64))).values[0]
    expected = apply_modality_lut(RAMP, described(ModalityLUTSequence=read(entries, 64)))
    assert (found == expected).all()


def test_a_table_comes_before_a_window_and_a_range_that_is_asked_for_before_both():
    entries = (4095 - np.arange(4096)).astype(np.uint16)
    tags = {"VOILUTSequence": table(entries, bits=12), "WindowCenter": "9", "WindowWidth": "9"}
    assert close(grey(**tags), scaled(4095 - RAMP, 0, 4095))
    assert close(grey(**tags, range=(0, 2000)), scaled(RAMP, 0, 2000))


def test_what_is_outside_of_the_picture_is_black_under_a_table():
    entries = np.full(4096, 65535, np.uint16)
    found = grey(PixelPaddingValue=int(RAMP[0, 3]), VOILUTSequence=table(entries))
    assert (found == 0).sum() == 1
    assert found[0, 3] == 0


def test_a_table_that_is_none_is_one_line():
    short = sequence(LUTDescriptor=[4096, 0, 16], LUTData=bytes(100))
    with pytest.raises(ValueError, match=r"table of values has 100 entries of 16 bits, and says"):
        grey(VOILUTSequence=short)


@pytest.mark.filterwarnings("error")
def test_one_frame_is_read_without_a_word():
    assert close(grey(NumberOfFrames=1), scaled(RAMP, 0, 4095))


def test_of_several_frames_the_first_is_read_and_that_is_said():
    frames = np.stack([RAMP, RAMP.T])
    with pytest.warns(UserWarning, match="of several frames the first is read"):
        found = grey(NumberOfFrames=2, PixelData=frames.tobytes())
    assert close(found, scaled(RAMP, 0, 4095))


def test_colours_of_twelve_bits_have_their_white():
    values = np.stack([RAMP, RAMP.T, RAMP[::-1]], -1)
    found = read_values(content(values, "RGB", bits=12))
    assert found.range == (0, 4095)
    assert (found.values == values.transpose(2, 0, 1)).all()
