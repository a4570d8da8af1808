"""DICOM: units of the modality, windows, both kinds of grey, colours."""

import io

import numpy as np
import pytest
import torch
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from mim.augment.no_augment import NoAugment
from mim.data.decode import decode
from mim.data.image_folder import ImageFolder
from mim.data.levels import Reading

RAMP = np.arange(0, 4096, 64, dtype=np.uint16).reshape(8, 8)


def content(values=RAMP, kind="MONOCHROME2", bits=12, **tags):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = (
        ExplicitVRLittleEndian,
        SecondaryCaptureImageStorage,
    )
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    file = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    file.SOPClassUID, file.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    file.Rows, file.Columns = values.shape[:2]
    file.SamplesPerPixel, file.PhotometricInterpretation = (3 if values.ndim == 3 else 1), kind
    if values.ndim == 3:
        file.PlanarConfiguration = 0
    file.BitsAllocated, file.BitsStored, file.HighBit = values.itemsize * 8, bits, bits - 1
    file.PixelRepresentation = int(values.dtype.kind == "i")
    file.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(file, name, value)
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8)


def grey(*arguments, range=None, **tags):
    return decode(content(*arguments, **tags), Reading(channels=1, range=range))[0]


def scaled(values, low, high):
    return torch.from_numpy(
        np.clip((values.astype(np.float32) - low) / (high - low) * 255, 0, 255).astype(np.float32)
    )


def close(found, expected):
    return torch.allclose(found, expected, atol=1e-3)


def test_bits_that_are_stored_say_what_is_white():
    assert close(grey(), scaled(RAMP, 0, 4095))


def test_a_slope_of_one_changes_nothing():
    assert close(grey(RescaleSlope="1", RescaleIntercept="0"), scaled(RAMP, 0, 4095))


def test_least_is_white_where_the_file_says_so():
    assert close(grey(kind="MONOCHROME1"), scaled(4095 - RAMP, 0, 4095))
    windowed = grey(kind="MONOCHROME1", WindowCenter="1000.5", WindowWidth="2001")
    assert close(windowed, 255 - scaled(RAMP, 0, 2000))


def test_units_of_the_modality_and_a_range_in_them():
    tags = {"RescaleSlope": "2", "RescaleIntercept": "-1024"}
    units = RAMP.astype(np.float32) * 2 - 1024
    assert close(grey(range=(-160, 240), **tags), scaled(units, -160, 240))
    assert close(grey(WindowCenter="40.5", WindowWidth="401", **tags), scaled(units, -160, 240))
    assert close(
        grey(range=(-160, 240), WindowCenter="0", WindowWidth="9", **tags), scaled(units, -160, 240)
    )
    with pytest.raises(
        ValueError, match=r"nothing says which are black and white; give data\.range="
    ):
        grey(**tags)


def test_of_several_windows_the_first_is_taken():
    found = grey(WindowCenter=["1000.5", "9"], WindowWidth=["2001", "4"])
    assert close(found, scaled(RAMP, 0, 2000))


@pytest.mark.parametrize("empty", [None, "", []])
def test_what_is_there_and_empty_says_nothing(empty):
    tags = {"WindowCenter": empty, "WindowWidth": empty, "RescaleSlope": empty}
    assert close(grey(**tags, RescaleIntercept=empty), scaled(RAMP, 0, 4095))


def test_an_exact_window_has_its_own_rule():
    window = {"WindowCenter": "1000", "WindowWidth": "2000", "VOILUTFunction": "LINEAR_EXACT"}
    assert close(grey(**window), scaled(RAMP, 0, 2000))


def sequence(**tags):
    part = Dataset()
    for name, value in tags.items():
        setattr(part, name, value)
    return Sequence([part])


@pytest.mark.filterwarnings("ignore:of DICOM files of several frames")
@pytest.mark.parametrize("of_each", [False, True])
def test_frames_say_units_and_windows_together_or_each(of_each):
    said = sequence(
        PixelValueTransformationSequence=sequence(RescaleSlope="2", RescaleIntercept="-1024"),
        FrameVOILUTSequence=sequence(WindowCenter="40.5", WindowWidth="401"),
    )
    group = "PerFrame" if of_each else "Shared"
    frames = {"NumberOfFrames": 2, f"{group}FunctionalGroupsSequence": said}
    assert close(
        grey(**frames, PixelData=RAMP.tobytes() * 2),
        scaled(RAMP.astype(np.float32) * 2 - 1024, -160, 240),
    )


def test_a_table_of_units_leaves_no_bits_that_say_what_is_white():
    table = sequence(
        LUTDescriptor=[4096, 0, 16], LUTData=(np.arange(4096, dtype=np.uint16) * 3).tobytes()
    )
    assert close(grey(ModalityLUTSequence=table), scaled(RAMP * 3.0, 0, 65535))


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_what_is_outside_of_the_picture_is_black_and_stretches_no_range(kind):
    values = RAMP.astype(np.int16) - 1000
    values[0] = -2000
    tags = {"bits": 16, "kind": kind, "PixelPaddingValue": -2000, "range": "image"}
    found = grey(values, **tags, RescaleSlope="2", RescaleIntercept="10")
    assert found[0].tolist() == [0] * 8
    assert close(found[1:].flatten().sort()[0], scaled(values[1:].flatten(), -488, 3032))


def test_colours_are_colours():
    values = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    found = decode(content(values, "RGB", bits=8))
    assert torch.equal(found, torch.from_numpy(values).permute(2, 0, 1))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"Rows": 40000, "Columns": 40000}, r"million, and at most data\.max_megapixels"),
        ({"kind": "PALETTE COLOR"}, "it is a DICOM file of PALETTE COLOR"),
        ({"Rows": 4000}, "pydicom cannot decode it"),
    ],
)
def test_what_cannot_be_read_is_one_line(arguments, said):
    with pytest.raises(ValueError, match=said) as error:
        grey(**arguments)
    assert "\n" not in str(error.value)


def test_a_folder_of_them_is_found_and_trained_on(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.dcm").write_bytes(content(RAMP + number).numpy().tobytes())
    data = ImageFolder(str(tmp_path), NoAugment(), 8, 3, num_workers=0, channels=1)
    (batch,) = list(data.train_dataloader())
    assert data.on_after_batch_transfer(batch).image.shape == (3, 1, 8, 8)
