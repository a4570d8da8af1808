"""Pictures of a user's own, and a run of a small encoder."""

import numpy as np
import pytest
import torch
from PIL import Image

from mim.encoder.vit import ViT
from mim.image_format import ImageFormat

VIT = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 2, "heads": 2}
FORMAT = ImageFormat((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 1.25, "bilinear", ("cat", "dog"))


@pytest.fixture
def checkpoint(tmp_path):
    """A run folder of an encoder that says how its images are made."""
    torch.manual_seed(0)
    encoder = ViT(**VIT)
    file = tmp_path / "run" / "checkpoints" / "last.ckpt"
    file.parent.mkdir(parents=True)
    names = {f"model.encoder.{name}": value for name, value in encoder.state_dict().items()}
    config = {"encoder": {"_target_": "mim.encoder.vit.ViT", **VIT}}
    torch.save({"state_dict": names, "config": config, "images": FORMAT.to_plain()}, file)
    return tmp_path / "run"


@pytest.fixture
def photos(tmp_path):
    """Six pictures of two classes, of different sizes."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, size in enumerate([(50, 40), (32, 32), (30, 70)]):
            pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"
