"""What the values of a picture mean goes with a checkpoint: images are scaled as they were in
training.
"""

import numpy as np
import pytest
import torch
from PIL import Image

import mim
from mim.augment.no_augment import NoAugment
from mim.data.image_folder import ImageFolder
from mim.encoder.vit import ViT
from mim.image_format import ImageFormat

VIT = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 1, "heads": 2, "channels": 1}
RANGES = [(100.0, 4095.0), "image", "percentiles", None]


@pytest.fixture
def scans(tmp_path):
    """Two pictures of 16 bits, of which 12 are used."""
    random = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    for name in "ab":
        values = random.integers(0, 4096, (40, 36)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / "scans" / f"{name}.png")
    return tmp_path / "scans"


def opened(folder, data):
    torch.manual_seed(0)
    encoder = ViT(**VIT)
    names = {f"model.encoder.{name}": value for name, value in encoder.state_dict().items()}
    images = ImageFormat.of_data(data, classes=False).to_plain()
    config = {"encoder": {"_target_": "mim.encoder.vit.ViT", **VIT}}
    torch.save({"state_dict": names, "config": config, "images": images}, folder / "last.ckpt")
    return mim.load(folder / "last.ckpt")


@pytest.mark.parametrize("range", RANGES)
def test_a_loaded_encoder_sees_what_it_was_trained_on(scans, tmp_path, range):
    settings = {"mean": [0.4], "std": [0.3], "channels": 1, "range": range}
    data = ImageFolder(str(scans), NoAugment(), 32, 2, num_workers=0, **settings)
    data.only_judged = True
    trained = data.on_after_batch_transfer(next(iter(data.val_dataloader()))).image
    encoder = opened(tmp_path, data)
    assert encoder.preprocess.images.range == range
    files = sorted(scans.iterdir())
    from_files = torch.stack([encoder.preprocess(file) for file in files])
    assert torch.allclose(from_files, trained, atol=1e-6)
    pictures = torch.stack([encoder.preprocess(Image.open(file)) for file in files])
    assert torch.allclose(pictures, trained, atol=1e-6)
    features = mim.features(encoder, scans, workers=0)
    with torch.no_grad():
        assert torch.allclose(features, encoder(trained)[:, 1:].mean(1), atol=1e-5)
    if range is not None:
        arrays = np.stack([np.asarray(Image.open(file)) for file in files])
        assert torch.allclose(mim.features(encoder, arrays[:, None]), features, atol=1e-5)
        said = "100 to 4,095" if range == RANGES[0] else f"each image's own ({range})"
        assert f"black and white {said}" in encoder.describe()
