import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.resample import resampling_matrix, resized_crop


@pytest.mark.parametrize("size", [8, 24, 40, 96])  # shrinks all, some and none of the crops
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_equals_torchvision(size, interpolation):
    image = torch.rand(12, 3, 40, 57) * 255
    box, flip, _ = CropFlip(TorchvisionBoxes((0.05, 1.0)))(
        torch.arange(12), torch.tensor([[40, 57]]).expand(12, 2)
    )
    ours = resized_crop(image, box / torch.tensor([57, 40, 57, 40]), flip, size, interpolation)
    for picture, (x1, y1, x2, y2), mirrored, got in zip(
        image, box.tolist(), flip, ours, strict=True
    ):
        theirs = F.resized_crop(
            picture,
            y1,
            x1,
            y2 - y1,
            x2 - x1,
            [size, size],
            InterpolationMode(interpolation),
            antialias=True,
        )
        theirs = theirs.flip(-1) if mirrored else theirs
        assert (got - theirs).abs().max() < 1e-3  # of 255


def test_a_whole_image_of_the_right_size_stays_as_it_is():
    image = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    same = resized_crop(
        image, torch.tensor([[0.0, 0, 1, 1]]).expand(2, 4), torch.tensor([False, True]), 16
    )
    assert torch.equal(same[0], image[0].float())
    assert torch.equal(same[1], image[1].flip(-1).float())


def test_weights_sum_to_one_and_stay_inside_the_crop():
    start, stop = torch.tensor([0, 3, 9]), torch.tensor([10, 4, 10])
    weight = resampling_matrix(start, stop, size=10, out=4)
    assert torch.allclose(weight.sum(-1), torch.ones(3, 4))
    assert weight[1, :, 3].tolist() == [1] * 4
    assert weight[2, :, :9].abs().max() == 0
