"""JPEGs decoded by the process that trains: the batches that workers would make, from bytes that
they hand over. A decoder of a CPU stands in for that of a GPU; tests/gpu has the real one.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.data import jpeg, on_gpu
from mim.data.decode import decode
from mim.data.image_folder import ImageFolder
from mim.data.levels import Reading
from mim.data.on_gpu import _Decoding, _groups, sides_for_gpu
from mim.launch.there import refuse_missing_gpu

WORDS = "data.decoder=nvjpeg decodes on an NVIDIA GPU, and this computer has none"


def stand_in(contents, grey):
    """What decodes bytes on a CPU, or cannot."""

    def pixels(content):
        try:
            return decode(content, Reading(channels=1 if grey else 3))
        except Exception:
            return None

    return [pixels(content) for content in contents]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pictures of many kinds, and a data set of them by name of a decoder."""
    random = np.random.default_rng(0)
    for number, mode in enumerate(["RGB", "L", "RGB", "CMYK", "RGB", "RGB", "RGB", "RGB"]):
        coarse = Image.fromarray(random.integers(0, 255, (5, 7, 3), np.uint8)).convert(mode)
        exif = Image.Exif()
        exif[274] = 6 if number == 2 else 1
        picture = coarse.resize((50 + number, 40), Image.Resampling.BICUBIC)
        picture.save(tmp_path / f"{number}.jpg", exif=exif)
    Image.fromarray(random.integers(0, 255, (30, 20), np.uint8)).save(tmp_path / "8.png")
    values = random.integers(0, 65535, (31, 23)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "9.png")
    monkeypatch.setattr(on_gpu, "decode_on_gpu", stand_in)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def data(decoder, **settings):
        given = {"num_workers": 0, "held_out": 0.1, "mean": [0.5] * 3, "std": [0.2] * 3} | settings
        return ImageFolder(
            str(tmp_path), CropFlip(TorchvisionBoxes()), 16, 3, decoder=decoder, **given
        )

    data.root = tmp_path
    return data


def batches(data, loader="train_dataloader"):
    data.setup()
    made = getattr(data, loader)()
    made.pin_memory = False
    return list(made)


def assert_same(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.tensors, other.tensors, strict=True))
        assert one.image.dtype == other.image.dtype


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader", "bank_dataloader"])
def test_batches_are_those_of_workers(folder, loader):
    assert_same(batches(folder("nvjpeg"), loader), batches(folder(None), loader))


@pytest.mark.parametrize(
    "settings",
    [{"channels": 1, "mean": [0.5], "std": [0.2]}, {"range": [10, 200]}, {"exif": False}],
    ids=["grey", "range", "as stored"],
)
def test_so_are_those_of_other_readings(folder, settings):
    assert_same(*(batches(folder(decoder, **settings)) for decoder in ("nvjpeg", None)))


def test_workers_hand_over_bytes(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(
        on_gpu, "decode_on_gpu", lambda *given: asked.extend(given[0]) or stand_in(*given)
    )
    data = folder("nvjpeg", num_workers=1)
    made = batches(data)
    assert_same(made, batches(folder(None)))
    files = [data.root / f"{number}.jpg" for number in (0, 1, 4, 5, 6, 7)]
    contents = {file.read_bytes() for file in files}  # not the turned one, nor that of four colours
    assert asked
    assert {content.numpy().tobytes() for content in asked} <= contents


def test_in_place_of_a_broken_file_comes_the_next_one(folder):
    file = folder.root / "5.jpg"
    file.write_bytes(file.read_bytes()[:-400])  # its header is sound
    with pytest.warns(UserWarning, match=r"skipped .*5\.jpg"):
        ours = batches(folder("nvjpeg"), "bank_dataloader")
    with pytest.warns(UserWarning, match=r"skipped .*5\.jpg"):
        assert_same(ours, batches(folder(None), "bank_dataloader"))


def test_large_pictures_are_decoded_in_parts(folder, monkeypatch):
    expected = batches(folder(None))
    monkeypatch.setattr(on_gpu, "AT_ONCE", 3000)
    asked = []
    monkeypatch.setattr(
        on_gpu, "decode_on_gpu", lambda *given: asked.append(len(given[0])) or stand_in(*given)
    )
    assert_same(batches(folder("nvjpeg")), expected)
    assert max(asked) == 1
    shape = torch.tensor([[3, 30, 40], [3, 30, 40], [3, 90, 90], [1, 10, 10]])
    assert list(_groups(shape)) == [range(2), range(2, 3), range(3, 4)]


def test_other_decoders_have_an_ordinary_loader(folder):
    data = folder(None)
    data.setup()
    assert not isinstance(data.train_dataloader(), _Decoding)


def test_one_broken_file_fails_alone(monkeypatch):
    monkeypatch.setattr(jpeg, "_gpu_library", lambda: fails_together)
    good, bad = torch.ones(4, dtype=torch.uint8), torch.zeros(4, dtype=torch.uint8)
    made = jpeg.decode_on_gpu([good, bad, good], False)
    assert [each is None for each in made] == [False, True, False]
    assert jpeg.decode_on_gpu([], False) == []


def fails_together(contents, grey):
    if any(not content.any() for content in contents):
        raise RuntimeError("nvjpeg")
    return list(contents)


def test_without_a_gpu_it_is_refused_early_and_late(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=WORDS):
        ImageFolder(str(pictures("", 2)), CropFlip(TorchvisionBoxes()), 16, 2, decoder="nvjpeg")
    monkeypatch.setattr("mim.launch.there.has_gpu_driver", lambda: False)
    with pytest.raises(ValueError, match=WORDS):
        refuse_missing_gpu({"decoder": "nvjpeg"})
    refuse_missing_gpu({"decoder": None})
    monkeypatch.setattr("mim.launch.there.has_gpu_driver", lambda: True)
    refuse_missing_gpu({"decoder": "nvjpeg"})


def test_a_gpu_that_no_library_decodes_on_is_said(monkeypatch):
    def without(contents, grey):
        raise RuntimeError("no nvJPEG\nhere")

    monkeypatch.setattr(jpeg, "_torchcodec_on_gpu", lambda: without)
    monkeypatch.setattr(jpeg, "_torchvision_on_gpu", lambda: without)
    with pytest.raises(ValueError, match=r"nvjpeg cannot be used \(no nvJPEG here\): pip install"):
        jpeg._gpu_library.__wrapped__()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reduced": True}, "reduced=true decodes on a CPU, data.decoder=nvjpeg on a GPU"),
        ({"in_memory": True}, "decoder=nvjpeg is for pictures that are decoded in every epoch"),
    ],
)
def test_what_does_not_go_with_it_is_refused(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        folder("nvjpeg", **settings)


def test_colours_are_changed_on_a_cpu(folder, monkeypatch):
    monkeypatch.setattr(CropFlip, "paints", True)
    with pytest.raises(ValueError, match="crops on a GPU, and CropFlip changes colours on a CPU"):
        folder("nvjpeg")


def test_reduced_pictures_are_not_kept_in_memory(folder):
    with pytest.raises(ValueError, match=r"data\.reduced=true is for pictures that are decoded in"):
        folder(None, in_memory=True, reduced=True)


def test_a_header_says_what_a_gpu_is_given(folder):
    content = torch.from_numpy(np.fromfile(folder.root / "0.jpg", np.uint8))
    assert sides_for_gpu(content, Reading()) == (40, 50)
    assert sides_for_gpu(content, Reading(channels=4)) is None
    with pytest.raises(ValueError, match="megapixels"):
        sides_for_gpu(content, Reading(max_megapixels=0.001))
