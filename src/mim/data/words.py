"""What a data set says of itself before a training, by subject."""

from typing import Protocol

from mim.augment.augmentation import Augmentation
from mim.data.normalisation import Normalisation
from mim.data.splits import Pictures, Splits
from mim.data.statistics import MEASURED, Channels
from mim.geometry import by


class Described(Protocol):
    """Data module, as far as it is put in words."""

    augment: Augmentation
    channels: int
    normalisation: Normalisation
    image_size: int | tuple[int, int]

    @property
    def splits(self) -> Splits: ...
    @property
    def training(self) -> Pictures: ...
    @property
    def train_size(self) -> int: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def mean(self) -> Channels: ...
    @property
    def std(self) -> Channels: ...


def words_of(data: Described) -> dict[str, str]:
    """How many images there are, how they are cropped and normalised, what is held out."""
    labelled = "labelled " if data.training is data.splits.labelled else ""
    mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (data.mean, data.std))
    channels = (
        ""
        if data.channels == 3
        else f" and {data.channels} channel{'' if data.channels == 1 else 's'}"
    )
    count = min(MEASURED, len(data.splits.unaugmented))
    on = f", measured on {count:,} training images" if data.normalisation.is_measured else ""
    return {
        "data": f"{data.train_size:,} {labelled}images of {by(data.image_size)}{channels}, "
        f"{data.num_classes} classes",
        "augmentation": str(data.augment),
        "normalisation": f"mean {mean}, deviation {std}{on}",
        "held out": f"{len(data.splits.val):,} images, {data.splits.val}",
    }
