import pytest
import torch

from mim.augment.no_augment import NoAugment
from mim.data.digits import Digits
from mim.data.image_folder import ImageFolder
from mim.data.imagenet import ImageNet
from mim.data.statistics import IMAGENET_MEAN, IMAGENET_STD


def digits(**settings):
    return Digits(NoAugment(), 8, 64, **settings)


def test_a_set_is_normalised_by_its_own_statistics_imagenet_s_or_given_ones():
    pixels = next(iter(digits().val_dataloader())).image.float() / 255
    for settings, mean, std in (
        ({}, Digits.own_mean, Digits.own_std),
        ({"mean": "imagenet", "std": "imagenet"}, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ({"mean": [0.1, 0.2, 0.3], "std": "own"}, (0.1, 0.2, 0.3), Digits.own_std),
    ):
        data = digits(**settings)
        assert (data.mean, data.std) == (mean, std)
        seen = data.on_after_batch_transfer(next(iter(data.val_dataloader()))).image
        expected = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        assert torch.allclose(seen, expected, atol=1e-5)
        assert data.words["normalisation"].startswith(f"mean {mean[0]:g} ")


def test_imagenet_s_own_are_the_published_ones_and_those_of_a_folder_unless_told_otherwise():
    for data in (ImageNet(".", NoAugment(), 8, 2), ImageFolder(".", NoAugment(), 8, 2)):
        assert (data.mean, data.std) == (IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"mean": "imagnet"},
            r"data\.mean=imagnet; needs own, imagenet, or three numbers for pixels in \[0, 1\], "
            r"e\.g\.",
        ),
        ({"mean": [0.5]}, r"data\.mean=\[0\.5\]; needs own"),
        ({"std": [0.5, 0, 0.5]}, r"data\.std=\[0\.5, 0, 0\.5\]; needs .* three numbers above 0"),
    ],
)
def test_what_is_no_statistic_is_refused_in_one_line(settings, said):
    with pytest.raises(ValueError, match=said) as error:
        digits(**settings)
    assert "\n" not in str(error.value)
