"""JPEGs decoded on a GPU: nearly the levels of a CPU, cut at the same places."""

import numpy as np
import pytest
import torch
from PIL import Image

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.data.image_folder import ImageFolder

pytestmark = pytest.mark.gpu


def test_batches_are_nearly_those_of_workers(device, tmp_path):
    random = np.random.default_rng(0)
    for number in range(24):
        coarse = Image.fromarray(random.integers(0, 255, (5, 7, 3), np.uint8))
        picture = coarse.resize((90 + number, 70), Image.Resampling.BICUBIC)
        picture.save(tmp_path / f"{number:02}.jpg", quality=92, progressive=number % 3 == 0)

    def batches(decoder):
        data = ImageFolder(
            str(tmp_path), CropFlip(TorchvisionBoxes()), 32, 4, decoder=decoder, num_workers=2
        )
        data.setup()
        return list(data.train_dataloader()), list(data.val_dataloader())

    if device.type != "cuda":
        with pytest.raises(ValueError, match="decodes on an NVIDIA GPU"):
            batches("nvjpeg")
        return
    for ours, theirs in zip(batches("nvjpeg"), batches(None), strict=True):
        assert len(ours) == len(theirs) > 0
        for one, other in zip(ours, theirs, strict=True):
            assert one.image.device.type == "cuda"
            assert one.image.dtype == torch.uint8
            assert torch.equal(one.index, other.index)
            assert torch.equal(one.box.cpu(), other.box)
            assert torch.equal(one.flip.cpu(), other.flip)
            assert (one.image.cpu().int() - other.image.int()).abs().float().mean() < 3
