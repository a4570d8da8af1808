"""A data set that has a folder, and may be downloaded into it."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mim.augment.view import View
from mim.data.module import Data
from mim.ranges import Count, Seed, Whole

T = TypeVar("T")


class OnDisk(Data):
    """A data set below a root folder.

    Args:
        root: the folder, set in one place for all sets: `paths.data`.
        augment: decides crops and flips of training images.
        image_size: pixels per side of what the model sees.
        batch_size: training images per step and process.
        seed: decides order, crops, flips and masks.
        num_workers: that decode pictures; null for this process's share of the cores. Memory needs none.
        shuffle: a new order every epoch; false to see the same batches in each.
    """

    def __init__(
        self,
        root: str,
        augment: View,
        image_size: Count,
        batch_size: Count,
        seed: Seed = 0,
        num_workers: Whole | None = None,
        shuffle: bool = True,
    ):
        super().__init__(augment, image_size, batch_size, seed, num_workers, shuffle)
        self.root = Path(root).expanduser()

    def fetch(self, source: str, get: Callable[[], T]) -> T:
        """What `get` finds or downloads.

        Args:
            source: where a user can find the data set.

        Raises:
            FileNotFoundError: one line that says how to get it by hand.
        """
        try:
            return get()
        except (OSError, RuntimeError) as error:  # no network, no permission, torchvision's "not found or corrupted"
            reason = " ".join(str(error).split())
            raise FileNotFoundError(
                f"{type(self).__name__} is not complete in data.root={self.root} and cannot be downloaded ({reason}); "
                f"put {source} there, or set data.root (for all sets: the environment variable MIM_DATA)."
            ) from error
