"""Any folder of pictures, nested or flat, with or without class folders."""

from pathlib import Path

from mim.augment.resample import Interpolation
from mim.augment.view import View
from mim.data.decode import MAX_MEGAPIXELS
from mim.data.from_files import from_files_splits
from mim.data.in_memory import in_memory_splits, read_into_memory
from mim.data.listing import list_pictures
from mim.data.module import Splits
from mim.data.on_disk import OfPictures
from mim.data.statistics import Deviation, Mean
from mim.ranges import Count, Positive, Seed, Whole


class ImageFolder(OfPictures):
    """Pictures below a folder, which may hold `train/` and `val/` or `test/`; the folders below that are the classes.

    Args:
        held_out: share of the pictures to hold out, always the same ones, where there is no `val/` or `test/`.
        in_memory: keep all pictures as uint8 at `image_size`, or at `resize` where that is given, for small ones; otherwise
            workers decode them.
    """

    def __init__(
        self,
        root: str,
        augment: View,
        image_size: Count,
        batch_size: Count,
        held_out: float = 0.1,
        in_memory: bool = False,
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
        self.held_out, self.in_memory = held_out, in_memory

    @property
    def clean_resize(self) -> tuple[int, Interpolation]:
        """Short side that clean images are resized to before their centre is cut out, and how."""
        short, interpolation = super().clean_resize
        return (self.resize or self.image_size) if self.in_memory else short, interpolation

    def load(self) -> Splits:
        """List the pictures; decode them if they stay in memory."""
        listing = list_pictures(*self._folders(), self.held_out, self.max_megapixels)
        if not self.in_memory:
            return from_files_splits(listing, self.augment, self.centred)
        train, val = read_into_memory(listing, self.resize or self.image_size, self.centred.interpolation)
        return in_memory_splits(train, val, self.augment, self.image_size, listing.classes, self.in_centre)

    def _folders(self) -> tuple[Path, Path | None]:
        """Where the training pictures are, and where those held out, if they have a folder."""
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"data.root={self.root} is not a folder; point it at pictures, e.g. data.root=/path/to/pictures, "
                "which may hold train/ and val/ or test/."
            )
        if not (self.root / "train").is_dir():
            return self.root, None
        held_out = (self.root / name for name in ("val", "test") if (self.root / name).is_dir())
        return self.root / "train", next(held_out, None)
