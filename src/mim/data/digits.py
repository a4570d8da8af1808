"""Scans of handwritten digits, 1,797 of 8 x 8 pixels (UCI Optical Recognition of Handwritten
Digits, in scikit-learn).

They come with a dependency, so the first run on a new computer needs no download.
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from mim.data.in_memory import Stored, in_memory_splits
from mim.data.module import Data
from mim.data.splits import Splits


class Digits(Data):
    """Ten classes; a quarter of each, always the same, is held out."""

    own_mean, own_std = (0.305, 0.305, 0.305), (0.376, 0.376, 0.376)

    def load(self) -> Splits:
        """Grey values 0..16 as uint8, in equal channels."""
        digits = load_digits()
        image = (
            (torch.from_numpy(digits.images) * (255 / 16))
            .round()
            .byte()[:, None]
            .expand(-1, self.channels, -1, -1)
        )
        label = torch.from_numpy(digits.target).long()
        train, val = train_test_split(
            torch.arange(len(label)), test_size=0.25, stratify=label, random_state=0
        )
        return in_memory_splits(
            train=Stored(image[train], label[train]),
            val=Stored(image[val], label[val]),
            augment=self.augment,
            image_size=self.image_size,
            classes=[str(name) for name in digits.target_names],
            centred=self.in_centre,
        )
