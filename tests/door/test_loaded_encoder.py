"""`mim.load`: an encoder with what its pictures have to go through."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

import mim
from mim.encoder.encoder import Attends
from mim.encoder.vit import ViT
from mim.image_format import ImageFormat

# of conftest's run
FORMAT = ImageFormat((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 1.25, "bilinear", ("cat", "dog"))


def test_it_is_the_encoder_itself_in_eval_mode(checkpoint):
    encoder = mim.load(checkpoint)
    assert type(encoder) is ViT
    assert isinstance(encoder, Attends)
    assert not any(module.training for module in encoder.modules())
    weights = torch.load(checkpoint / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert {f"model.encoder.{name}" for name in encoder.state_dict()} == set(weights)
    assert torch.equal(
        encoder.blocks[0].attn.qkv.weight, weights["model.encoder.blocks.0.attn.qkv.weight"]
    )
    assert encoder(torch.zeros(1, 3, 32, 32)).shape == (1, 17, 16)


def test_it_says_how_its_images_are_made(checkpoint):
    encoder = mim.load(checkpoint)
    assert (encoder.mean, encoder.std, encoder.classes) == (FORMAT.mean, FORMAT.std, FORMAT.classes)
    assert encoder.geometry == mim.Geometry(3, (32, 32), (8, 8), (4, 4))
    said = encoder.describe()
    for words in (
        "last.ckpt (a run of ours)",
        "ViT, 2 blocks, 16 wide, 2 heads, 1 prefix token",
        "3 x 32 x 32, 4 x 4 patches of 8",
        "short side to 40, bilinear; mean 0.1 0.2 0.3, deviation 0.4 0.5 0.6",
        "2: cat, dog",
        "encoder 30 of 30 tensors",
    ):
        assert words in said


def test_a_copy_describes_and_prepares_as_the_original(checkpoint):
    encoder = mim.load(checkpoint)
    copied = copy.deepcopy(encoder)
    image = np.zeros((40, 40, 3), np.uint8)
    assert copied.describe() == encoder.describe()
    assert torch.equal(copied.preprocess(image), encoder.preprocess(image))


def test_a_picture_an_array_and_a_path_are_the_same_image(checkpoint, photos):
    prepare, file = mim.load(checkpoint).preprocess, photos / "cat" / "0.png"
    picture = Image.open(file)
    image = prepare(file)
    array = np.asarray(picture)
    assert image.shape == (3, 32, 32)
    for same in (
        picture,
        array,
        array.transpose(2, 0, 1),
        torch.from_numpy(array.copy()),
        array / 255,
        str(file),
    ):
        assert torch.equal(prepare(same), image)


def test_what_is_prepared_is_resized_by_the_short_side_cut_and_normalised(checkpoint):
    prepare = mim.load(checkpoint).preprocess
    # as wide as twice the short side: the centre is 24 to 56
    halves = np.zeros((40, 80, 3), np.uint8)
    halves[:, 40:] = 255
    image = prepare(halves)
    mean, std = torch.tensor(FORMAT.mean), torch.tensor(FORMAT.std)
    torch.testing.assert_close(image[:, 0, 0], -mean / std)
    torch.testing.assert_close(image[:, 0, -1], (1 - mean) / std)
    assert (image[0, 0, :16] < 0).all()
    assert (image[0, 0, 16:] > 0).all()


def test_another_size_and_another_normalisation_may_be_asked_for(checkpoint):
    encoder = mim.load(checkpoint, image_size=64, mean=(0.5, 0.5, 0.5))
    assert encoder.geometry.grid == (8, 8)
    assert (encoder.mean, encoder.std) == ((0.5, 0.5, 0.5), FORMAT.std)
    assert encoder.preprocess(np.zeros((9, 9), np.uint8)).shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Image.new("I", (4, 4)), "mode I is no 8-bit picture"),
        (np.zeros((4, 4, 5), np.uint8), r"images of shape \(1, 4, 4, 5\); needs"),
        (np.zeros((4, 4, 3), np.uint16), "images of uint16 have no known range"),
        (np.full((4, 4, 3), 2.0), "holds values from 2 to 2; needs 0 to 1"),
        (np.full((4, 4, 3), np.nan), "holds values from nan"),
        ({}, "a dict is no picture; give a path"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(checkpoint, given, said):
    with pytest.raises(ValueError, match=said) as refused:
        mim.load(checkpoint).preprocess(given)
    assert "\n" not in str(refused.value)


def test_files_that_are_not_there_or_no_pictures_are_named(checkpoint, tmp_path):
    prepare = mim.load(checkpoint).preprocess
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere.png"):
        prepare(tmp_path / "nowhere.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken.png is no picture"):
        prepare(tmp_path / "broken.png")
    with pytest.raises(FileNotFoundError):
        mim.load(tmp_path / "nowhere")


def test_statistics_of_other_channels_are_refused(checkpoint):
    with pytest.raises(ValueError, match=r"std=\[0, 1, 1\]; needs three numbers above 0"):
        mim.load(checkpoint, std=[0, 1, 1])
