"""What is seen of every picture of a data set, and the settings that follow from it."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from mim.augment.no_augment import NoAugment
from mim.data.digits import Digits
from mim.data.image_folder import ImageFolder
from mim.data.inspection import inspect
from mim.data.splits import Splits
from tests.data.test_dicom import RAMP, content


def looked_at(root, **settings):
    limit = settings.pop("limit", None)
    data = ImageFolder(str(root), NoAugment(), 16, 2, num_workers=0, **settings)
    data.setup()
    return inspect(data.splits, limit)


def test_formats_sizes_channels_and_broken_files_are_counted(tmp_path):
    Image.new("L", (30, 20)).save(tmp_path / "grey.png")
    Image.new("RGB", (40, 10), (255, 0, 0)).save(tmp_path / "red.jpg")
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(tmp_path / "deep.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = looked_at(tmp_path)
    assert sorted(
        found.counts(lambda each: (each.format, each.type, each.channels, each.size))
    ) == [
        (("JPEG", "uint8", 3, (10, 40)), 1),
        (("PNG", "uint16", 1, (20, 30)), 1),
        (("PNG", "uint8", 1, (20, 30)), 1),
    ]
    assert [
        each.path.endswith("broken.png") and "it is no picture" in each.broken
        for each in found.broken
    ] == [True]
    assert found.range() == (0, 599)
    assert found.duplicates() == []


def test_pictures_of_the_same_values_are_duplicates_whatever_their_files_are(tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8))
    for name in ("train/a.png", "train/b.bmp", "val/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture.save(tmp_path / name)
    picture.rotate(90).save(tmp_path / "train/turned.png")
    (group,) = looked_at(tmp_path).duplicates()
    assert sorted((each.path.rpartition("/")[2], each.training) for each in group) == [
        ("a.png", True),
        ("b.bmp", True),
        ("c.png", False),
    ]


def arrays(root, values, count=3):
    for number in range(count):
        np.save(root / f"{number}.npy", values)
    return looked_at(root).proposed()


@pytest.mark.parametrize(
    ("values", "proposed"),
    [
        (np.array([[0, 3000]], np.uint16), {"range": [0, 4095]}),
        (np.array([[0, 40000]], np.uint16), {}),
        (np.array([[0, 40000]], ">u2"), {}),
        (np.array([[0.0, 0.5]], np.float32), {}),
        (np.array([[-100, 900]], np.int16), {"range": [-100, 900]}),
        (np.array([[-2.5, np.nan, 7.25]], np.float32), {"range": [-2.5, 7.25]}),
        (np.array([[0, 255]], np.uint8), {}),
    ],
)
def test_a_range_is_proposed_where_the_type_does_not_say_it(tmp_path, values, proposed):
    assert arrays(tmp_path, values) == {"channels": 1, **proposed}


def test_no_range_is_proposed_where_all_files_say_how_they_are_shown(tmp_path):
    files = {
        "window": {"WindowCenter": 500, "WindowWidth": 1000},
        "curve": {"WindowCenter": 500, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"},
        "bits": {},
    }
    for name, tags in files.items():
        (tmp_path / f"{name}.dcm").write_bytes(content(**tags).numpy().tobytes())
    found = looked_at(tmp_path)
    assert found.proposed() == {"channels": 1}
    Image.fromarray(RAMP).save(tmp_path / "silent.png")
    assert looked_at(tmp_path).proposed() == {"channels": 1, "range": [0, 4095]}


def test_channels_are_proposed_where_all_pictures_agree(tmp_path):
    assert arrays(tmp_path, np.zeros((13, 16, 16), np.uint8)) == {"channels": 13}
    np.save(tmp_path / "other.npy", np.zeros((16, 16), np.uint8))
    assert looked_at(tmp_path).proposed() == {}


def test_one_value_in_a_thousand_does_not_move_the_proposed_range(tmp_path):
    values = np.linspace(0, 1000, 250_000, dtype=np.float32).reshape(500, 500)
    values[0, 0], values[-1, -1] = -1e9, 1e9
    low, high = arrays(tmp_path, values)["range"]
    assert -1 < low < 20 < 980 < high < 1010


def test_what_files_call_no_data_stretches_no_range(tmp_path):
    values = np.arange(-99, 301, dtype=np.int16).reshape(20, 20)
    values[0] = -9999
    for number in range(3):
        nothing = [(42113, "s", 0, "-9999", True)]
        tifffile.imwrite(tmp_path / f"{number}.tif", values, extratags=nothing)
    found = looked_at(tmp_path)
    assert found.range() == (-79, 300)
    assert found.counts(lambda each: each.type) == [("int16", 3)]
    assert -80 < found.proposed()["range"][0] < -70


def test_some_pictures_are_spread_evenly_and_progress_is_told(pictures):
    root = pictures("", 20)
    told = []
    data = ImageFolder(str(root), NoAugment(), 16, 2, num_workers=0, held_out=0.5)
    data.setup()
    found = inspect(data.splits, 4, told.append)
    assert (len(found.pictures), sum(each.training for each in found.pictures), told) == (
        8,
        4,
        [4, 8],
    )
    numbers = data.splits.train.numbers
    assert found.pictures[0].path == data.splits.train.files.path(int(numbers[0]))
    assert found.pictures[3].path == data.splits.train.files.path(int(numbers[-1]))


def test_pictures_in_memory_are_looked_at_too():
    data = Digits(NoAugment(), 8, 32)
    data.setup()
    found = inspect(data.splits, 50)
    assert found.counts(lambda each: (each.format, each.size)) == [(("", (8, 8)), 100)]
    assert found.proposed() == {}


def test_a_data_set_that_draws_its_pictures_is_refused():
    drawn = [torch.zeros(3)] * 4
    with pytest.raises(ValueError, match="Tensor makes its pictures in another way"):
        inspect(Splits(*drawn, classes=[]))
