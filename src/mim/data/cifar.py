"""CIFAR-10 and CIFAR-100: 50,000 and 10,000 photographs of 32 x 32 pixels (Krizhevsky, 2009)."""

from functools import partial

import torch
from torchvision import datasets

from mim.data.in_memory import Stored, in_memory_splits
from mim.data.levels import as_channels
from mim.data.on_disk import OnDisk
from mim.data.splits import Splits


def _stored(dataset: datasets.CIFAR10, channels: int) -> Stored:
    image = torch.from_numpy(dataset.data).permute(0, 3, 1, 2)
    return Stored(as_channels(image, channels).contiguous(), torch.tensor(dataset.targets))


class CIFAR10(OnDisk):
    """Ten classes; the test set is held out."""

    own_mean, own_std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    source = datasets.CIFAR10

    def load(self) -> Splits:
        """Download what is missing and keep all in memory."""
        train, val = (
            self.fetch(self.source.url, partial(self.source, self.root, train=train, download=True))
            for train in (True, False)
        )
        classes = list(train.classes)
        seen, held_out = (_stored(part, self.channels) for part in (train, val))
        return in_memory_splits(
            seen, held_out, self.augment, self.image_size, classes, self.in_centre
        )


class CIFAR100(CIFAR10):
    """A hundred classes; the test set is held out."""

    own_mean, own_std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    source = datasets.CIFAR100
