"""Tar files in the layout of WebDataset: `0001.jpg` beside `0001.cls`, a thousand or so a shard."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mim.augment.augmentation import Augmentation
from mim.augment.resample import Interpolation
from mim.data.from_files import from_files_splits
from mim.data.levels import MAX_MEGAPIXELS, Decoder, Range
from mim.data.listing import HeldOut, Listing, all_held_out, hold_out
from mim.data.on_disk import OfPictures
from mim.data.shard_index import index_of
from mim.data.shard_labels import MOST_CLASSES, NO_LABEL
from mim.data.shards import Members
from mim.data.splits import Splits
from mim.data.statistics import Deviation, Mean
from mim.plain import printable
from mim.ranges import Count, NonNegativeInt, Positive, Seed, Size

CLASSES = "classes.txt"
"""Names of the classes, beside the shards."""
LONGEST = 2**24  # bytes of them


class WebDataset(OfPictures):
    """Pictures in shards on a disk. Each is read in place by its number, not as a stream: order,
    crops and masks belong to (seed, epoch, position) as everywhere, a stopped run goes on exactly,
    and what looks at an image again finds it.

    The class is the number or the word in `0001.cls`, or what `0001.json` has as `label`, `cls`,
    `class`, `class_id` or `target`. The name of a number is that line of `classes.txt` in the root,
    where there is such a file; words are sorted, over all shards. Of a sample with several pictures
    one is read, `0001.jpg` before `0001.image.jpg`; what is left out is said in a line.

    Args:
        train: which files below the root are for training, e.g. `imagenet1k-train-*.tar`.
        val: which are held out; where there are none, a share of the training pictures is.
        held_out: that share, always the same pictures; null for a tenth, and for all of them where
            nothing is learned from the others.
        cache: where the index of the shards is kept for the next time; null for nowhere.
    """

    def __init__(
        self,
        root: str,
        augment: Augmentation,
        image_size: Size,
        batch_size: Count,
        train: str = "*train*.tar",
        val: str = "*val*.tar",
        held_out: HeldOut | None = None,
        cache: str | None = None,
        seed: Seed = 0,
        num_workers: NonNegativeInt | None = None,
        shuffle: bool = True,
        mean: Mean | None = None,
        std: Deviation | None = None,
        resize: Count | None = None,
        resize_interpolation: Interpolation = "bicubic",
        max_megapixels: Positive = MAX_MEGAPIXELS,
        channels: Count = 3,
        range: Range = None,
        exif: bool = True,
        decoder: Decoder | None = None,
        reduced: bool = False,
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
            channels,
            range,
            exif,
            decoder,
            reduced,
        )
        self.patterns, self.held_out = (train, val), held_out
        self.cache = Path(cache).expanduser() / "shards" if cache else None
        self._left_out = ""

    def load(self) -> Splits:
        """Index the shards.

        Raises:
            FileNotFoundError: where there are none, or nothing is in them.
            ValueError: where only some of the pictures have a class, or a word is held out alone.
        """
        train, val = (sorted(self.root.glob(pattern)) for pattern in self.patterns)
        val = [shard for shard in val if shard not in train]
        index = index_of([*train, *val], self.cache)
        self._left_out = index.left_out
        is_val = torch.from_numpy(index.shard >= len(train))
        if is_val.all() and not (self.only_judged and len(is_val)):  # also where there is nothing
            raise FileNotFoundError(
                f"data.root={self.root} has {len(train)} shards {self.patterns[0]} (* is anything) "
                "and no picture in them; point "
                "data.root at shards on a disk, and data.train and data.val at their names, e.g. "
                "'data.train=in1k-train-*.tar'"
            )
        files = Members([*train, *val], index, self.reading)
        classes = _classes(files, index.words, is_val, self.root / CLASSES)
        listing = Listing(files, *self._parts(is_val), classes)
        return from_files_splits(listing, self.augment, self.centred)

    def _parts(self, is_val: Tensor) -> tuple[Tensor, Tensor]:
        """Whether pictures lie in shards that are held out, (N,) bool -> numbers of those to train
        on, and of those held out.
        """
        train, val = (~is_val).nonzero()[:, 0], is_val.nonzero()[:, 0]
        if self.only_judged and self.held_out is None and not (len(train) and len(val)):
            return all_held_out(len(is_val))
        return (train, val) if len(val) else hold_out(len(is_val), self.held_out)

    @property
    def words(self) -> dict[str, str]:
        """What every data set says, and what is left out."""
        return super().words | ({"left out": self._left_out} if self._left_out else {})


def _classes(files: Members, words: Sequence[str], is_val: Tensor, names: Path) -> list[str]:
    """Words, else names in a file beside the shards, a line each; without it, numbers from 0 to the
    highest label; none without labels.
    """
    without = (files.label == NO_LABEL).nonzero()[:, 0]
    if 0 < len(without) < len(files):
        raise ValueError(
            f"{len(without)} of {len(files)} pictures have no class, such as "
            f"{files.path(int(without[0]))}; put a .cls file with "
            "its number or its name beside each picture, or beside none; a .json may have it as "
            "label"
        )
    if len(without):
        return []
    if words:
        _refuse_held_out_alone(files, words, is_val)
        return [printable(word) for word in words]
    count = int(files.label.max()) + 1
    if names.is_file() and names.stat().st_size < LONGEST:
        lines = names.read_text("utf-8", "replace").splitlines()
        if len(lines) >= count:
            return [printable(line, 200) for line in lines[:MOST_CLASSES]]
    return [str(number) for number in range(count)]


def _refuse_held_out_alone(files: Members, words: Sequence[str], is_val: Tensor) -> None:
    """Words have no numbers of their own: one that only shards that are held out say is unknown."""
    learned = set(files.label[~is_val].tolist())
    strange = [] if is_val.all() else [i for i, word in enumerate(words) if i not in learned]
    if strange:
        picture = int((files.label == strange[0]).nonzero()[0, 0])
        raise ValueError(
            f"{len(strange)} of {len(words)} classes are held out and no training picture has "
            f"them, such as {printable(words[strange[0]], 60)} of "
            f"{printable(files.path(picture))}; write the same words in both, or choose other "
            "shards, data.train=, data.val="
        )
