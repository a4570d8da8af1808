"""What is judged: whole images, or the centre after a resize, alike in memory and from files."""

from functools import partial

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from mim.augment.boxes import ClampedBoxes, TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.finetune import Finetune
from mim.augment.no_augment import NoAugment
from mim.data.digits import Digits
from mim.data.image_folder import ImageFolder
from mim.data.tiny_imagenet import SIDE, TinyImageNet

PILLOW = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@pytest.mark.parametrize("interpolation", PILLOW)
@pytest.mark.parametrize("view", [CropFlip(TorchvisionBoxes()), Finetune(TorchvisionBoxes())])
def test_images_in_memory_are_judged_as_the_published_recipe_judges_pillow_images(
    view, interpolation
):
    data = Digits(view, 28, 450, resize=32, resize_interpolation=interpolation, num_workers=0)
    official = v2.Compose([v2.Resize(32, v2.InterpolationMode(interpolation)), v2.CenterCrop(28)])
    for loader in (data.val_dataloader(20), data.bank_dataloader(20)):
        (batch,) = loader
        stored = (data.splits.val if loader.dataset is data.splits.val else data.splits.bank).image[
            batch.index
        ]
        theirs = torch.stack([F.pil_to_tensor(official(F.to_pil_image(image))) for image in stored])
        seen = data.on_after_batch_transfer(batch).image
        pixels = (
            seen * torch.tensor(data.std).view(3, 1, 1) + torch.tensor(data.mean).view(3, 1, 1)
        ) * 255
        assert (pixels - theirs).abs().max() < 1.01  # of 255
    assert data.splits.val.wants_workers
    assert not data.splits.unaugmented.wants_workers  # maps of attention are of all pixels


@pytest.mark.parametrize("resize", [None, 20])
def test_memory_and_files_are_judged_alike(pictures, resize):
    root = str(pictures("all", 12, size=20, varied=False))
    folder = partial(ImageFolder, root, NoAugment(), 16, 2, num_workers=0, resize=resize)
    memory, files = (
        torch.cat([data.on_after_batch_transfer(b).image for b in data.val_dataloader()])
        for data in (folder(in_memory=True), folder())
    )
    assert ((memory - files).abs().max() < 0.02) == (
        resize is not None
    )  # null: the whole image, and 256 / 224 of the size


def test_without_a_resize_images_in_memory_are_whole():
    data = Digits(NoAugment(), 8, 64)
    (batch,) = data.val_dataloader(5)
    assert torch.equal(batch.image, data.splits.val.image[batch.index])
    assert data.words["held out"] == "450 images, whole, bicubic"


def test_tiny_imagenet_is_kept_at_its_own_size_whatever_the_model_sees(pictures):
    for name in ("train/n1/images", "train/n2/images", "val/images"):
        root = pictures(f"tiny-imagenet-200/{name}", 2, size=64, varied=False)
    (root / "tiny-imagenet-200/val/val_annotations.txt").write_text("000.jpg\tn1\n001.jpg\tn2")
    data = TinyImageNet(str(root), NoAugment(), 128, 2, resize=146)
    assert data.splits.train.image.shape[-2:] == (SIDE, SIDE) == (64, 64)
    assert data.on_after_batch_transfer(next(iter(data.bank_dataloader()))).image.shape == (
        2,
        3,
        128,
        128,
    )


def test_a_resize_without_room_for_the_centre_is_refused():
    with pytest.raises(
        ValueError,
        match=r"data\.resize=200 is smaller .* data\.image_size=224; e\.g\. data\.resize=256, or "
        r"null",
    ):
        Digits(NoAugment(), 224, 2, resize=200)


def test_a_data_set_says_in_words_what_it_does():
    view = CropFlip(ClampedBoxes((0.08, 1.0)), interpolation="bilinear")
    assert Digits(view, 28, 2, resize=32).words == {
        "data": "1,347 images of 28 x 28, 10 classes",
        "augmentation": "crops of 8% to 100% of the area, width over height 0.75 to 1.33, cut to "
        "the image, bilinear, 50% mirrored",
        "normalisation": "mean 0.305 0.305 0.305, deviation 0.376 0.376 0.376",
        "held out": "450 images, the centre of 28 after the short side is resized to 32, bicubic",
    }
    painted = str(Finetune(TorchvisionBoxes((0.2, 0.5)), flip=0.0))
    assert painted.startswith("torchvision's crops of 20% to 50% of the area, ")
    assert painted.endswith("bicubic, 0% mirrored, then rand-m9-mstd0.5-inc1")
    assert str(Finetune(TorchvisionBoxes(), policy=None, color_jitter=0.4)).endswith(
        "then colour jitter 0.4"
    )
