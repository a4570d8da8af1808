"""Folder of pictures, nested or flat, with or without class folders."""

from mim.augment.augmentation import Augmentation
from mim.augment.resample import Interpolation
from mim.data.folders import find_folders
from mim.data.from_files import from_files_splits
from mim.data.in_memory import in_memory_splits, read_into_memory
from mim.data.levels import MAX_MEGAPIXELS, Decoder, Range
from mim.data.listing import HeldOut, list_folders
from mim.data.on_disk import OfPictures
from mim.data.splits import Splits
from mim.data.statistics import Deviation, Mean
from mim.geometry import pair
from mim.ranges import Count, NonNegativeInt, Positive, Seed, Size


class ImageFolder(OfPictures):
    """Pictures below a folder, which may hold `train/` and `val/` or `test/`; the folders below
    that are the classes.

    Args:
        train: folder of the training pictures, in `root`; null for the one whose name says so
            (`train`, `Training`, `seg_train`, ..), or `root` where there is none.
        val: folder of the held-out pictures; null for the one whose name says so (`val`, `valid`,
            .., else `test`, `Testing`, ..). The same as `train` holds out a share of it.
        held_out: share of the pictures to hold out, always the same ones, where there is no folder
            of them; null for a tenth, and for all of them where nothing is learned from the others.
        in_memory: keep all pictures, decoded, at `image_size`, or at `resize` where that is given,
            for small ones; otherwise workers decode them. Not with `reduced`, nor on a GPU.
    """

    def __init__(
        self,
        root: str,
        augment: Augmentation,
        image_size: Size,
        batch_size: Count,
        held_out: HeldOut | None = None,
        in_memory: bool = False,
        seed: Seed = 0,
        num_workers: NonNegativeInt | None = None,
        shuffle: bool = True,
        mean: Mean | None = None,
        std: Deviation | None = None,
        resize: Count | None = None,
        resize_interpolation: Interpolation = "bicubic",
        max_megapixels: Positive = MAX_MEGAPIXELS,
        train: str | None = None,
        val: str | None = None,
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
        if in_memory and (reduced or decoder == "nvjpeg"):
            setting = "reduced=true" if reduced else "decoder=nvjpeg"
            raise ValueError(
                f"data.{setting} is for pictures that are decoded in every epoch, and "
                "data.in_memory=true decodes them once; leave out one"
            )
        self.held_out, self.in_memory = held_out, in_memory
        self.named = train, val
        self._said: dict[str, str] = {}

    @property
    def clean_resize(self) -> tuple[int, Interpolation]:
        """Short side that clean images are resized to before their centre is cut out, and how."""
        short, interpolation = super().clean_resize
        return (
            self.resize or min(pair(self.image_size))
        ) if self.in_memory else short, interpolation

    def load(self) -> Splits:
        """List the pictures; decode them if they stay in memory."""
        folders = find_folders(self.root, *self.named, self.only_judged)
        listing = list_folders(folders, self.held_out, self.reading, self.only_judged)
        self._said = {
            "folders": folders.words,
            **({"left out": listing.left_out} if listing.left_out else {}),
        }
        if not self.in_memory:
            return from_files_splits(listing, self.augment, self.centred)
        train, val = read_into_memory(
            listing,
            self.centred.frame if self.resize else self.image_size,
            self.centred.interpolation,
        )
        return in_memory_splits(
            train, val, self.augment, self.image_size, listing.classes, self.in_centre
        )

    @property
    def words(self) -> dict[str, str]:
        """What every data set says, which folder is what, and what is left out."""
        return super().words | self._said
