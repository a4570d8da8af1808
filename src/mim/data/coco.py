"""COCO, and any set of objects in its format, with its own categories (arXiv 1405.0312)."""

from pathlib import Path

from mim.augment.augmentation import Augmentation
from mim.augment.jitter import Jitter
from mim.augment.resample import Interpolation
from mim.data.coco_scenes import CocoScenes
from mim.data.dense import DenseData, SceneSplits
from mim.data.levels import MAX_MEGAPIXELS
from mim.data.scenes import Labels
from mim.data.splits import Splits
from mim.data.statistics import Deviation, Mean
from mim.plain import printable
from mim.ranges import Count, NonNegativeInt, Positive, Seed


class Coco(DenseData):
    """COCO's 80 categories of objects (arXiv 1405.0312), or any set in its format.

    Args:
        root: folder of the following.
        train: annotations of the training pictures.
        val: of the held-out ones.
        train_images: folder of the training pictures.
        val_images: of the held-out ones.
        augment: says what views there are where images are learned from without labels.
        jitter: what is done to them where objects are learned from.
        image_size: pixels per side of what the model is trained on.
        batch_size: training images per step and process.
        repeat_threshold: share of pictures below which those of a category are seen more often;
            null for once an epoch.
        longest: what the long side of held-out images may become.
        seed, num_workers, shuffle, mean, std, resize, resize_interpolation: those of `Data`.
        max_megapixels: of a picture, in millions of pixels.
    """

    scenes_of = CocoScenes

    def __init__(
        self,
        root: str,
        train: str,
        val: str,
        train_images: str,
        val_images: str,
        augment: Augmentation,
        jitter: Jitter,
        image_size: Count,
        batch_size: Count,
        repeat_threshold: Positive | None = None,
        longest: Count | None = None,
        seed: Seed = 0,
        num_workers: NonNegativeInt | None = None,
        shuffle: bool = True,
        mean: Mean = "imagenet",
        std: Deviation = "imagenet",
        resize: Count | None = None,
        resize_interpolation: Interpolation = "bicubic",
        max_megapixels: Positive = MAX_MEGAPIXELS,
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
        )
        self.root = Path(root).expanduser()
        self.named = ((train, train_images), (val, val_images))
        self.jitter, self.longest, self.max_megapixels = jitter, longest, max_megapixels
        self.repeat_threshold = repeat_threshold

    def scenes(self, labels: Labels) -> SceneSplits:
        """Objects, with categories in the order of their ids.

        Raises:
            ValueError: where label maps are asked for, or the two files have other categories.
        """
        if labels != "objects":
            raise ValueError(
                f"{type(self).__name__} has objects and no class of every pixel, and the task "
                "learns from label maps; "
                "task=detect, or data=ade20k"
            )
        train, val = (
            self.scenes_of(self.root / file, self.root / images, learned, self.max_megapixels)
            for (file, images), learned in zip(self.named, (True, False), strict=True)
        )
        if train.names != val.names:
            raise ValueError(f"{train.origin} and {val.origin} have other categories")
        self.category_images = train.images_of_categories
        repeats = train.repeats(self.repeat_threshold) if self.repeat_threshold else None
        return SceneSplits(train, val, train.names, repeats)

    def images_alone(self) -> Splits:
        """Pictures for what needs no labels.

        Raises:
            ValueError: always: a folder of pictures is a data set of its own.
        """
        raise ValueError(
            f"{type(self).__name__} gives objects to task=detect; pictures alone are "
            "data=image_folder "
            f"data.root={printable(self.root)} data.train={self.named[0][1]} "
            f"data.val={self.named[1][1]}"
        )
