import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.centre import CentreCrop
from mim.augment.crop_flip import CropFlip
from mim.augment.pictures import Cropped


def picture(height: int, width: int) -> torch.Tensor:
    """Smooth noise (3, H, W) uint8, in the memory layout of a decoded JPEG."""
    noise = torch.rand(1, 3, height // 8 + 1, width // 8 + 1)
    image = torch.nn.functional.interpolate(noise, (height, width), mode="bilinear")[0]
    return (image * 255).byte().permute(1, 2, 0).contiguous().permute(2, 0, 1)


RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@pytest.mark.parametrize("interpolation", RESAMPLING)
def test_crops_are_those_of_the_published_pillow_recipe(interpolation):
    pictures = [picture(80, 60), picture(50, 120)]
    ((image, box, _),) = Cropped(CropFlip(TorchvisionBoxes(), interpolation=interpolation), 32)(
        pictures, torch.arange(2)
    )
    for source, got, fractions in zip(pictures, image, box, strict=True):
        height, width = source.shape[1:]
        corners = (fractions * torch.tensor([width, height, width, height])).round().int().tolist()
        pillow = F.to_pil_image(source).crop(corners).resize((32, 32), RESAMPLING[interpolation])
        assert (F.pil_to_tensor(pillow).int() - got.int()).abs().max() <= 1


@pytest.mark.parametrize("interpolation", RESAMPLING)
def test_the_centre_is_that_of_the_published_evaluation(interpolation):
    official = v2.Compose(
        [v2.Resize(36, v2.InterpolationMode(interpolation), antialias=True), v2.CenterCrop(32)]
    )
    pictures = [picture(80, 61), picture(50, 120), picture(36, 36)]
    ((image, box, flip),) = CentreCrop(32, 36, interpolation)(pictures, torch.arange(3))
    assert torch.equal(image, torch.stack([official(p) for p in pictures]))
    for source, ours in zip(pictures, image, strict=True):
        height, width = source.shape[1:]
        short = [int(36 * side / min(height, width)) for side in (width, height)]
        pillow = F.to_pil_image(source).resize(short, RESAMPLING[interpolation])
        assert (
            F.pil_to_tensor(F.center_crop(pillow, [32, 32])).int() - ours.int()
        ).abs().max() <= 1
    assert not flip.any()
    assert torch.allclose(box[2], torch.tensor([2 / 36, 2 / 36, 34 / 36, 34 / 36]))
    assert torch.allclose(box[1, [1, 3]], torch.tensor([2 / 36, 34 / 36]))


@pytest.mark.parametrize(("size", "short"), [(224, 256), (192, 219), (96, 109)])
def test_the_short_side_is_the_published_one_rounded_down(size, short):
    assert CentreCrop(size).short == short == int(256 / 224 * size)


def test_small_pictures_are_kept_whole():
    source = picture(32, 32)
    ((image, box, _),) = CentreCrop(32, 32)([source], torch.arange(1))
    assert torch.equal(image[0], source)
    assert box.tolist() == [[0, 0, 1, 1]]
