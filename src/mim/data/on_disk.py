"""A data set that has a folder, and may be downloaded into it."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mim.augment.augmentation import Augmentation
from mim.augment.resample import Interpolation
from mim.data.jpeg import check_decoder
from mim.data.levels import MAX_MEGAPIXELS, Decoder, Range, Reading
from mim.data.module import Data
from mim.data.statistics import Deviation, Mean
from mim.ranges import Count, NonNegativeInt, Positive, Seed, Size, in_range

T = TypeVar("T")


class OnDisk(Data):
    """A data set below a root folder.

    Args:
        root: the folder, set in one place for all sets: `paths.data`.
        augment: says what views of training images there are: crops, flips, colours.
        image_size: pixels per side of what the model sees, or (height, width).
        batch_size: training images per step and process.
        seed: decides order, crops, flips and masks.
        num_workers: that decode pictures; null for this process's share of the cores. Memory needs
            none.
        shuffle: a new order every epoch; false to see the same batches in each.
        mean: of pixels in [0, 1], subtracted: a number for each channel, `imagenet`, or `own` for
            the data set's, measured where nobody knows it.
        std: that they are divided by, alike.
        resize: pixels of the short side of held-out images (and of the bank) before the centre of
            `image_size` is cut out, as officially 256 for 224; null for the whole image where
            images are in memory, and for 256 / 224 of `image_size` in files.
        resize_interpolation: how. Without `resize`, images in memory are resized as crops are.
        channels: C, of an image: 1 for grey, 3 for colours.
    """

    def __init__(
        self,
        root: str,
        augment: Augmentation,
        image_size: Size,
        batch_size: Count,
        seed: Seed = 0,
        num_workers: NonNegativeInt | None = None,
        shuffle: bool = True,
        mean: Mean | None = "own",
        std: Deviation | None = "own",
        resize: Count | None = None,
        resize_interpolation: Interpolation = "bicubic",
        channels: Count = 3,
    ):
        super().__init__(
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
            channels,
        )
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
        # no network, no permission, torchvision's "not found or corrupted"
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise FileNotFoundError(
                f"{type(self).__name__} is not complete in data.root={self.root} and cannot be "
                f"downloaded ({reason}); "
                f"put {source} there, or set data.root (for all sets: the environment variable "
                "MIM_DATA)."
            ) from error


class OfPictures(OnDisk):
    """A data set of picture files of many sizes.

    Args:
        max_megapixels: of a picture, in millions of pixels; a larger one is skipped like a broken
            one, by what its header says, whatever its format.
        channels: C, of every picture: grey is repeated for colours and colours are made grey; other
            numbers have to be those of the files.
        range: values that are black and white, two numbers; `image` for each image's least and
            greatest, `percentiles` for its percentiles 1 and 99; null by their type: 255 of uint8,
            65535 of uint16, 1 of floats, and what DICOM says itself.
        exif: turn pictures as they say that they are to be shown, whatever their format; official
            loaders do not.
        decoder: of JPEG: `torchcodec`, `torchvision` or `pillow`, which give the same pixels; null
            for the fastest that is installed; or `nvjpeg`: workers hand over bytes, and the GPU
            that trains decodes and crops, to levels that differ a little.
        reduced: decode a JPEG at a half, a quarter or an eighth of its sides where what is cut out
            of it keeps twice as many pixels a side as the image that is made of it. Large
            photographs take less time; levels differ a little (docs/your_images.md).
        others: those of `OnDisk`.
    """

    @in_range
    def __init__(
        self,
        root: str,
        augment: Augmentation,
        image_size: Size,
        batch_size: Count,
        seed: Seed = 0,
        num_workers: NonNegativeInt | None = None,
        shuffle: bool = True,
        mean: Mean | None = "own",
        std: Deviation | None = "own",
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
            channels,
        )
        if decoder == "nvjpeg":
            _refuse_on_gpu(augment, reduced)
        if isinstance(range, str) or range is None:
            self.reading = Reading(
                max_megapixels, channels, range, exif, check_decoder(decoder), reduced
            )
        else:
            black, white = range
            self.reading = Reading(
                max_megapixels, channels, (black, white), exif, check_decoder(decoder), reduced
            )
        self.range = self.reading.range

    @property
    def clean_resize(self) -> tuple[int, Interpolation]:
        """Short side that clean images are resized to before their centre is cut out, and how."""
        return self.centred.short, self.centred.interpolation


def _refuse_on_gpu(augment: Augmentation, reduced: bool) -> None:
    """Refuse what is done by processes of a CPU alone.

    Raises:
        ValueError: naming it.
    """
    if reduced:
        raise ValueError(
            "data.reduced=true decodes on a CPU, data.decoder=nvjpeg on a GPU; leave out one"
        )
    if any(view.paints for view in augment.views):
        raise ValueError(
            f"data.decoder=nvjpeg crops on a GPU, and {type(augment).__name__} changes colours on "
            "a CPU; leave it out"
        )
