"""ImageNet-1k (Russakovsky et al., IJCV 2015): 1.28 million photographs of 1,000 classes, and
50,000 held out.
"""

from functools import partial

from torchvision import datasets

from mim.data.from_files import from_files_splits
from mim.data.listing import list_pictures
from mim.data.on_disk import OfPictures
from mim.data.splits import Splits
from mim.data.statistics import IMAGENET_MEAN, IMAGENET_STD


class ImageNet(OfPictures):
    """Class folders `train/<wnid>/` and `val/<wnid>/`; the validation set is held out."""

    own_mean, own_std = IMAGENET_MEAN, IMAGENET_STD

    def load(self) -> Splits:
        """List the pictures, after unpacking the official archives if only they are there."""
        for split in ("train", "val"):
            if not (self.root / split).is_dir():
                self.fetch(
                    "the class folders train/ and val/, or image-net.org's "
                    "ILSVRC2012_img_train.tar, "
                    "ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz,",
                    partial(datasets.ImageNet, self.root, split),
                )
        listing = list_pictures(self.root / "train", self.root / "val", reading=self.reading)
        return from_files_splits(listing, self.augment, self.centred)
