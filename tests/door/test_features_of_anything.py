"""`mim.features`: the same vectors whatever the pictures come as."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset
from torchvision.datasets import ImageFolder

import mim
from mim.augment.no_augment import NoAugment
from mim.data.digits import Digits
from mim.data.image_folder import ImageFolder as OurFolder
from mim.door.sources import source_of
from mim.pool.simple import Mean


@pytest.fixture
def encoder(checkpoint):
    return mim.load(checkpoint)


@pytest.fixture
def files(photos):
    return sorted(photos.rglob("*.png"))


def test_a_folder_a_list_a_data_set_and_single_pictures_agree(encoder, photos, files):
    made = mim.features(encoder, photos, workers=0)
    assert made.shape == (6, 16)
    assert made.dtype == torch.float32
    pictures = [Image.open(file) for file in files]
    for same in (str(photos), files, ImageFolder(photos), pictures):
        torch.testing.assert_close(mim.features(encoder, same, batch_size=4, workers=0), made)
    with torch.no_grad():
        alone = torch.stack(
            [encoder(encoder.preprocess(file)[None])[0, 1:].mean(0) for file in files]
        )
    torch.testing.assert_close(made, alone)


def test_arrays_of_many_sizes_are_cut_unless_they_have_the_size_of_the_encoder(encoder, files):
    arrays = [np.asarray(Image.open(file)) for file in files]
    made = mim.features(encoder, arrays)
    torch.testing.assert_close(made[[0, 2]], mim.features(encoder, [files[0], files[2]], workers=0))
    torch.testing.assert_close(made[1:2], mim.features(encoder, arrays[1][None]))


def test_bytes_and_floats_of_tensors_and_arrays_agree(encoder):
    image = torch.randint(
        0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    made = mim.features(encoder, image, batch_size=2)
    with torch.no_grad():
        tokens = encoder(encoder.preprocess.normalise(image))
    torch.testing.assert_close(made, tokens[:, 1:].mean(1))  # as they are: nothing is resized
    for same in (
        image / 255,
        (image / 255).double(),
        image.permute(0, 2, 3, 1).numpy(),
        image.numpy() / 255.0,
    ):
        torch.testing.assert_close(mim.features(encoder, same), made)
    torch.testing.assert_close(mim.features(encoder, TensorDataset(image)), made)


def test_pools_blocks_and_patches_are_what_they_say(encoder):
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        embedded = encoder.embed(encoder.preprocess.normalise(image))
        first, last = encoder.encode_blocks(embedded, [1, 2])
    patches = mim.features(encoder, image, patches=True)
    torch.testing.assert_close(patches, encoder.norm(last)[:, 1:].detach())
    torch.testing.assert_close(
        mim.features(encoder, image, "cls"), encoder.norm(last)[:, 0].detach()
    )
    torch.testing.assert_close(mim.features(encoder, image, Mean()), patches.mean(1))
    torch.testing.assert_close(
        mim.features(encoder, image, "cls", block=1, norm=False), first[:, 0]
    )
    assert mim.features(encoder, image, "cp1").shape == (2, 16)


def test_a_data_set_of_ours_is_shown_as_it_shows_itself(encoder, photos):
    data = Digits(NoAugment(), image_size=32, batch_size=64)
    made = mim.features(encoder, data)
    data.setup()
    images = torch.cat([data.splits.val.finish(batch.views[0]) for batch in data.val_dataloader()])
    with torch.no_grad():
        expected = encoder(encoder.preprocess.normalise(images / 255))[:, 1:].mean(1)
    torch.testing.assert_close(made, expected)
    assert len(mim.features(encoder, data, part="training")) == 1347
    folder = OurFolder(
        str(photos), NoAugment(), 32, 2, held_out=0.5, resize=40, resize_interpolation="bilinear"
    )
    held_out = mim.features(encoder, folder)
    chosen = folder.splits.val.numbers
    torch.testing.assert_close(held_out, mim.features(encoder, photos, workers=0)[chosen])


def test_workers_and_batches_change_nothing(encoder, photos):
    made = mim.features(encoder, photos, workers=0)
    torch.testing.assert_close(mim.features(encoder, photos, workers=1, batch_size=2), made)


def test_an_encoder_or_a_model_built_by_hand_is_told_its_normalisation(encoder, photos):
    built = mim.ViT(image_size=32, patch_size=8, width=16, depth=2, heads=2)
    built.load_state_dict(encoder.state_dict())
    built.train()
    half = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    made = mim.features(built, photos, workers=0, **half)
    assert built.training  # as it was
    model = mim.SimMIM(built, mim.Masker(mim.Random(), mim.FixedRatio(0.5)), {"pixel": 192})
    torch.testing.assert_close(mim.features(model, photos, workers=0, **half), made)
    with pytest.raises(
        ValueError, match="this ViT does not say how its images are normalised; give mean= and std="
    ):
        mim.features(built, photos)


BYTES = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("source", "settings", "said"),
    [
        (BYTES.float() * 255 - 1, {}, r"holds values from -1 to -1; needs 0 to 1, not normalised"),
        (BYTES.float() + 1.01, {}, "holds values from 1.01 to 1.01"),
        (BYTES.int(), {}, "images of int32 have no known range"),
        (BYTES[0], {}, r"images of shape \(3, 32, 32\); needs \(N, 3, height, width\)"),
        (BYTES[:0], {}, "there are no pictures"),
        (3, {}, "a int holds no pictures"),
        ({"a": BYTES}, {}, "a dict holds no pictures"),
        (BYTES, {"pool": "maen"}, "pool=maen is not a choice; did you mean 'mean'"),
        (BYTES, {"pool": "abmilp"}, "pool=abmilp needs weights of its own"),
        (BYTES, {"pool": "ep"}, "pool=ep needs weights of its own"),
        (BYTES, {"pool": "attentive_cae"}, "pool=attentive_cae needs weights of its own"),
        (BYTES, {"pool": "oracle"}, "pool=oracle needs another encoder"),
        (BYTES, {"block": 3}, "block=3 of ViT cannot be looked at: it has blocks 1 to 2"),
        (BYTES, {"batch_size": 0}, "batch_size=0"),
        (BYTES, {"part": "val"}, "part='val' is none of"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(encoder, source, settings, said):
    with pytest.raises(ValueError, match=said) as refused:
        mim.features(encoder, source, **settings)
    assert "\n" not in str(refused.value)


def test_a_picture_that_cannot_be_read_is_named(encoder, photos, tmp_path):
    (photos / "cat" / "9.png").write_bytes(b"no picture")
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(ValueError, match=r"cat/9.png is no picture"),
    ):
        mim.features(encoder, photos, workers=0)
    with pytest.raises(FileNotFoundError, match="there is no"):
        mim.features(encoder, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no pictures"):
        mim.features(encoder, tmp_path / "empty")


def test_images_of_another_size_of_a_data_set_are_refused(encoder):
    with pytest.raises(
        ValueError, match=r"Digits shows images of 16 x 16, and the encoder sees 32 x 32"
    ):
        mim.features(encoder, Digits(NoAugment(), image_size=16, batch_size=64))


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        (["cat/1.png", "dog/2.png"], ["cat", "dog"]),
        (["train/cat/1.png", "val/dog/2.png"], ["cat", "dog"]),
        (["cat/a/1.png", "cat/b/2.png", "dog/3.png", "stray.png"], ["cat", "cat", "dog", ""]),
        (["a.png", "b.png"], ["", ""]),
        (["cat/1.png", "cat/2.png"], ["", ""]),
        (["train/1.png", "val/2.png"], ["", ""]),
    ],
)
def test_folders_are_labels_but_for_those_of_a_split(encoder, tmp_path, files, labels):
    for file in files:
        (tmp_path / "set" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "set" / file)
    source = source_of(tmp_path / "set", encoder.preprocess)
    assert [source.label(number) for number in range(len(source))] == labels


def test_in_place_of_a_broken_picture_of_a_data_set_no_other_is_taken(encoder, photos):
    folder = OurFolder(str(photos), NoAugment(), 32, 2, held_out=0.2)
    source = source_of(folder, encoder.preprocess, "training")
    Path(source.path(1)).write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="skipped"):
        (images,) = source.batches(torch.arange(len(source)), 8)
    assert images.number.tolist() == [0, *range(2, len(source))]
    assert len(images.image) == len(source) - 1


def test_a_name_in_the_place_of_an_encoder_is_led_to_load(tmp_path):
    for name in ("runs/a", Path("runs/a")):
        with pytest.raises(ValueError, match=r"open this one: mim\.load\('runs/a'\)"):
            mim.features(name, tmp_path)
