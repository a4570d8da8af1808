"""Data sets of any number of channels and any shape: what they show, how it is normalised, and what
is refused.
"""

import numpy as np
import pytest
import tifffile
import torch

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.centre import CentreCrop
from mim.augment.crop_flip import CropFlip
from mim.augment.finetune import Finetune
from mim.augment.no_augment import NoAugment
from mim.data.decode import decode
from mim.data.digits import Digits
from mim.data.image_folder import ImageFolder
from mim.data.levels import Reading
from mim.data.statistics import IMAGENET_MEAN, measure
from mim.image_format import ImageFormat

OBLONG = (16, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve arrays of five channels, two classes."""
    root, draw = tmp_path_factory.mktemp("five"), np.random.default_rng(0)
    for number in range(12):
        place = root / "ab"[number % 2]
        place.mkdir(exist_ok=True)
        scale = np.arange(1, 6)[:, None, None] / 5  # each channel darker than the next
        np.save(
            place / f"{number}.npy",
            (draw.integers(0, 65535, (5, 24, 40)) * scale).astype(np.uint16),
        )
    return root


def five(folder, **settings):
    asked = {
        "augment": CropFlip(TorchvisionBoxes()),
        "image_size": OBLONG,
        "batch_size": 4,
        "channels": 5,
        "num_workers": 0,
    }
    return ImageFolder(str(folder), **(asked | settings))


@pytest.mark.parametrize("in_memory", [False, True])
def test_five_channels_are_cropped_flipped_and_normalised_by_what_is_measured(folder, in_memory):
    data = five(folder, in_memory=in_memory)
    data.setup()
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())))
    assert batch.image.shape == (4, 5, *OBLONG)
    clean = [data.on_after_batch_transfer(each).image for each in data.unaugmented_dataloader()]
    pixels = torch.cat(clean).transpose(0, 1).flatten(1)
    assert torch.allclose(pixels.mean(1), torch.zeros(5), atol=2e-3)
    assert torch.allclose(pixels.std(1), torch.ones(5), atol=5e-3)
    assert list(data.mean) == sorted(data.mean)
    assert "measured on 11 training images" in data.words["normalisation"]
    assert data.words["data"].endswith("images of 16 x 32 and 5 channels, 2 classes")
    assert ImageFormat.of_data(data).channels == 5


def test_held_out_images_are_the_centre_of_what_covers_the_frame(folder):
    data = five(folder)
    data.setup()
    (batch,) = data.val_dataloader()
    assert data.on_after_batch_transfer(batch).image.shape == (1, 5, *OBLONG)
    assert (
        str(data.splits.val)
        == "the centre of 16 x 32 after the short side is resized to 18, bicubic"
    )


@pytest.mark.parametrize(
    ("picture", "frame", "kept"),
    [
        ((40, 40), (18, 36), (36, 36)),
        ((20, 80), (18, 36), (18, 72)),
        ((100, 10), (18, 36), (360, 36)),
    ],
)
def test_a_picture_is_resized_to_cover_the_frame_without_being_stretched(picture, frame, kept):
    centred = CentreCrop((16, 32), 18)
    assert centred.frame == frame
    assert centred._resized(*picture) == kept


def test_an_oblong_centre_of_an_oblong_picture_is_its_middle():
    picture = torch.arange(64.0).expand(1, 32, 64) * 4
    (view,) = CentreCrop((16, 32), 16)([picture], torch.zeros(1))
    assert view.image.shape == (1, 1, 16, 32)
    assert view.box.tolist() == [[0, 0, 1, 1]]
    (view,) = CentreCrop((16, 16), 16)([picture], torch.zeros(1))
    assert view.box.tolist() == [[0.25, 0, 0.75, 1]]


def test_grey_digits_are_the_digits():
    settings = {"augment": NoAugment(), "image_size": 32, "batch_size": 8}
    grey, colour = Digits(**settings, channels=1), Digits(**settings)
    assert grey.mean == colour.mean[:1]
    ours, theirs = (next(iter(each.val_dataloader())) for each in (grey, colour))
    ours, theirs = (
        grey.on_after_batch_transfer(ours).image,
        colour.on_after_batch_transfer(theirs).image,
    )
    assert ours.shape == (8, 1, 32, 32)
    assert torch.equal(ours.expand(-1, 3, -1, -1), theirs)


def test_statistics_are_those_of_all_pixels():
    # (2, 2, 1, 2)
    image = torch.tensor([[[[0.0, 255.0]], [[51.0, 51.0]]], [[[0.0, 255.0]], [[51.0, 102.0]]]])
    found = measure([image[:1], image[1:]])
    assert found.mean == pytest.approx((0.5, 0.25))
    assert found.std == pytest.approx((0.5, np.std([0.2, 0.2, 0.2, 0.4])))
    with pytest.raises(
        ValueError, match="channel 1 is 0 in every pixel, so there is no deviation to divide by"
    ):
        measure([torch.stack([image[:, 0], torch.zeros(2, 1, 2)], 1)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"mean": "imagenet"},
            r"data.mean=imagenet is of three channels, and data.channels=5; give data.mean=own",
        ),
        (
            {"std": (1.0, 1.0, 1.0)},
            r"data.std=\[1.0, 1.0, 1.0\]; needs own, imagenet, or 5 numbers above 0",
        ),
        ({"range": (10, 10)}, r"range=\[10, 10\] does not fit; it should be rising numbers"),
        (
            {"augment": Finetune(TorchvisionBoxes())},
            r"Finetune changes colours of three channels, and data.channels=5",
        ),
        ({"resize": 15}, r"data.resize=15 is smaller than the centre that is cut out of it"),
    ],
)
def test_what_does_not_go_together_is_refused(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        five(folder, **settings)


def test_without_numbers_three_channels_are_normalised_as_imagenet_and_others_measured(folder):
    assert five(folder, channels=3).mean == IMAGENET_MEAN
    assert five(folder, mean=[0.1] * 5, std=[0.2] * 5).std == (0.2,) * 5


def test_files_of_other_channels_are_named(folder):
    data = five(folder, channels=4)
    data.setup()
    with pytest.raises(
        ValueError,
        match=r"of 12 pictures cannot be read.*5 channels, and data\.channels=4 asks for 4; give "
        r"data",
    ):
        list(map(data.on_after_batch_transfer, data.train_dataloader()))


def test_nothing_is_said_of_each_tiff_of_many_bands(tmp_path, caplog, capfd):
    file = tmp_path / "bands.tif"
    tifffile.imwrite(file, np.zeros((8, 8, 13), np.uint16), planarconfig="contig")
    content = torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8)
    assert decode(content, Reading(channels=13)).shape == (13, 8, 8)
    assert (caplog.records, capfd.readouterr().err) == ([], "")
