"""Tar files in the layout of WebDataset: `0001.jpg` beside `0001.cls`, a thousand or so a shard."""

from pathlib import Path

import torch

from mim.augment.resample import Interpolation
from mim.augment.view import View
from mim.data.decode import MAX_MEGAPIXELS
from mim.data.from_files import from_files_splits
from mim.data.listing import Listing, hold_out
from mim.data.module import Splits
from mim.data.on_disk import OfPictures
from mim.data.shards import NO_LABEL, Members, index_of
from mim.data.statistics import Deviation, Mean
from mim.ranges import Count, Positive, Seed, Whole


class WebDataset(OfPictures):
    """Pictures in shards on a disk. Each is read in place by its number, not as a stream: order, crops and masks belong to
    (seed, epoch, position) as everywhere, a stopped run goes on exactly, and what looks at an image again finds it.

    Args:
        train: which files below the root are for training, e.g. `imagenet1k-train-*.tar`.
        val: which are held out; where there are none, a share of the training pictures is.
        held_out: that share, always the same pictures.
        cache: where the index of the shards is kept for the next time; null for nowhere.
    """

    def __init__(
        self,
        root: str,
        augment: View,
        image_size: Count,
        batch_size: Count,
        train: str = "*train*.tar",
        val: str = "*val*.tar",
        held_out: float = 0.1,
        cache: str | None = None,
        seed: Seed = 0,
        num_workers: Whole | None = None,
        shuffle: bool = True,
        mean: Mean = "imagenet",
        std: Deviation = "imagenet",
        resize: Count | None = None,
        resize_interpolation: Interpolation = "bicubic",
        max_megapixels: Positive = MAX_MEGAPIXELS,
    ):
        super().__init__(
            root,
            augment,
            image_size,
            batch_size,
            seed,
            num_workers,
            shuffle,
            mean,
            std,
            resize,
            resize_interpolation,
            max_megapixels,
        )
        self.patterns, self.held_out = (train, val), held_out
        self.cache = Path(cache).expanduser() / "shards" if cache else None

    def load(self) -> Splits:
        """Index the shards.

        Raises:
            FileNotFoundError: where there are none, or nothing is in them.
            ValueError: where only some of the pictures have a class.
        """
        train, val = (sorted(self.root.glob(pattern)) for pattern in self.patterns)
        val = [shard for shard in val if shard not in train]
        index = index_of([*train, *val], self.cache)
        is_val = torch.from_numpy(index.shard >= len(train))
        if is_val.all():  # also where there is nothing
            raise FileNotFoundError(
                f"data.root={self.root} has {len(train)} shards {self.patterns[0]} (* is anything) and no picture in them; point "
                "data.root at shards on a disk, and data.train and data.val at their names, e.g. 'data.train=in1k-train-*.tar'"
            )
        files = Members([*train, *val], index, self.max_megapixels)
        apart = (~is_val).nonzero()[:, 0], is_val.nonzero()[:, 0]
        numbers = apart if is_val.any() else hold_out(len(files), self.held_out)
        return from_files_splits(Listing(files, *numbers, _classes(files)), self.augment, self.centred)


def _classes(files: Members) -> list[str]:
    """Numbers from 0 to the highest label; none without labels."""
    without = (files.label == NO_LABEL).nonzero()[:, 0]
    if 0 < len(without) < len(files):
        raise ValueError(
            f"{len(without)} of {len(files)} pictures have no class, such as {files.path(int(without[0]))}; put a .cls file with "
            "its number beside each picture, or beside none"
        )
    return [] if len(without) else [str(number) for number in range(int(files.label.max()) + 1)]
