"""STL-10 (Coates et al., AISTATS 2011): 105,000 photographs of 96 x 96 pixels, 5,000 labelled, and
8,000 held out.
"""

from functools import partial

import torch
from torchvision import datasets

from mim.data.in_memory import Stored, in_memory_splits
from mim.data.levels import as_channels
from mim.data.on_disk import OnDisk
from mim.data.splits import Splits


def _stored(dataset: datasets.STL10, channels: int) -> Stored:
    return Stored(
        as_channels(torch.from_numpy(dataset.data), channels),
        torch.from_numpy(dataset.labels).long(),
    )


class STL10(OnDisk):
    """Ten classes. Pre-training sees the 100,000 unlabelled pictures; what needs labels learns from
    the 5,000 others.
    """

    own_mean, own_std = (0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713)

    def load(self) -> Splits:
        """Download what is missing and keep all in memory (3.1 GB)."""
        unlabelled, labelled, test = (
            self.fetch(
                datasets.STL10.url, partial(datasets.STL10, self.root, split=split, download=True)
            )
            for split in ("unlabeled", "train", "test")
        )
        return in_memory_splits(
            train=_stored(unlabelled, self.channels),
            val=_stored(test, self.channels),
            augment=self.augment,
            image_size=self.image_size,
            classes=list(labelled.classes),
            centred=self.in_centre,
            bank=_stored(labelled, self.channels),
        )
