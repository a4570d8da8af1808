"""Pairs of pictures and label maps, in two folders: ADE20K, VOC, or anybody's."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mim.augment.augmentation import Augmentation
from mim.augment.jitter import Jitter
from mim.augment.resample import Interpolation
from mim.data.dense import DenseData, SceneSplits
from mim.data.label_map_scenes import Colour, LabelMapScenes
from mim.data.levels import MAX_MEGAPIXELS
from mim.data.scenes import Labels
from mim.data.splits import Splits
from mim.data.statistics import Deviation, Mean
from mim.dense import IGNORE
from mim.plain import printable
from mim.ranges import Count, NonNegativeInt, Positive, Seed


class LabelMaps(DenseData):
    """Folders of pictures and label maps.

    Args:
        root: folder of the following.
        classes: how many classes of pixels there are, or their names.
        train_images: folder of the training pictures.
        train_label_maps: of their label maps, of the same names.
        val_images: folder of the held-out pictures.
        val_label_maps: of their label maps.
        augment: says what views there are where images are learned from without labels.
        jitter: what is done to training images.
        image_size: pixels per side of what the model is trained on.
        batch_size: training images per step and process.
        first_class: value of class 0; smaller ones are ignored (1 for ADE20K, whose 0 is anything
            else).
        ignore: value of pixels of which nothing is known.
        colours: of the classes, where label maps are coloured.
        longest: what the long side of held-out images may become.
        train_list: file that names the training pictures, one a line without its ending; null for
            all of their folder.
        val_list: of the held-out ones.
        seed, num_workers, shuffle, mean, std, resize, resize_interpolation: those of `Data`.
        max_megapixels: of a picture, in millions of pixels.

    Raises:
        ValueError: where there are too many classes for 8 bits, not as many colours as classes, or
            a name or a colour twice.
    """

    def __init__(
        self,
        root: str,
        classes: Count | Sequence[str],
        train_images: str,
        train_label_maps: str,
        val_images: str,
        val_label_maps: str,
        augment: Augmentation,
        jitter: Jitter,
        image_size: Count,
        batch_size: Count,
        first_class: NonNegativeInt = 0,
        ignore: NonNegativeInt = IGNORE,
        colours: Sequence[Colour] | None = None,
        longest: Count | None = None,
        train_list: str | None = None,
        val_list: str | None = None,
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
        self.names = [str(n) for n in range(classes)] if isinstance(classes, int) else list(classes)
        if len(self.names) > IGNORE or (colours is not None and len(colours) != len(self.names)):
            given = "" if colours is None else f" and {len(colours)} colours"
            raise ValueError(
                f"{len(self.names)} classes{given}; at most {IGNORE} classes of pixels, and as "
                "many colours where there are any"
            )
        wrong = [list(colour) for colour in colours or () if max(colour) > 255]
        twice = [
            list(colour)
            for colour, count in Counter(map(tuple, colours or ())).items()
            if count > 1
        ]
        if wrong or twice:
            raise ValueError(
                f"data.colours has {wrong[0]}, and a colour is red, green and blue of 0 to 255"
                if wrong
                else f"data.colours has {twice[0]} twice; give each class a colour of its own"
            )
        if len(set(self.names)) < len(self.names):
            raise ValueError(
                f"data.classes={self.names} has a name twice; give each class a name of its own"
            )
        self.root = Path(root).expanduser()
        self.folders = ((train_images, train_label_maps), (val_images, val_label_maps))
        self.lists = (train_list, val_list)
        self.values = (first_class, ignore, colours)
        self.jitter, self.longest, self.max_megapixels = jitter, longest, max_megapixels

    def scenes(self, labels: Labels) -> SceneSplits:
        """Pictures with a class for every pixel.

        Raises:
            ValueError: where objects are asked for.
        """
        if labels != "label_maps":
            raise ValueError(
                f"{type(self).__name__} has label maps and no objects, and the task learns from "
                "them; task=segment, or data=coco"
            )
        train, val = (
            LabelMapScenes(
                self.root / images,
                self.root / maps,
                len(self.names),
                *self.values,
                max_megapixels=self.max_megapixels,
                listed=self.root / names if names else None,
            )
            for (images, maps), names in zip(self.folders, self.lists, strict=True)
        )
        return SceneSplits(train, val, self.names)

    def images_alone(self) -> Splits:
        """Pictures for what needs no labels.

        Raises:
            ValueError: always: a folder of pictures is a data set of its own.
        """
        raise ValueError(
            f"{type(self).__name__} gives label maps to task=segment; pictures alone are "
            "data=image_folder "
            f"data.root={printable(self.root)} data.train={self.folders[0][0]} "
            f"data.val={self.folders[1][0]}"
        )
