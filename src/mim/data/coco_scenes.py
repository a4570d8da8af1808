"""Pictures and objects of an annotation file in COCO's format: polygons, run-length encodings and
crowds.
"""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from mim.data.coco_format import read_annotations
from mim.data.files import Files
from mim.data.levels import MAX_MEGAPIXELS, Reading
from mim.data.masks import is_compressed, mask_of
from mim.dense import Entry, Objects
from mim.geometry import by
from mim.plain import printable


class CocoScenes:
    """Pictures and objects of one annotation file.

    Args:
        annotations: `instances_train2017.json` and the like.
        images: folder of the pictures.
        learned_from: leave out pictures without objects, as detectron2 does where it trains.
        max_megapixels: of a picture that is decoded, in millions of pixels.

    Raises:
        FileNotFoundError: where the file, the folder or a picture is missing.
        ValueError: one line about the first thing in the file that cannot be, or where it has no
            object although it is learned from.
    """

    wants_workers = True
    style = "coco"

    def __init__(
        self,
        annotations: Path,
        images: Path,
        learned_from: bool = False,
        max_megapixels: float = MAX_MEGAPIXELS,
    ):
        self.origin = printable(annotations)
        self.truth = read_annotations(annotations)
        self.categories = {
            each["id"]: number for number, each in enumerate(_by_id(self.truth["categories"]))
        }
        pictures = {each["id"]: each for each in self.truth["images"]}
        of_image: dict[int, list[Entry]] = {number: [] for number in pictures}
        for each in self.truth["annotations"]:
            of_image[each["image_id"]].append(each)
        if learned_from:
            kept = {
                n for n, those in of_image.items() if any(not each.get("iscrowd") for each in those)
            }
            pictures = {number: each for number, each in pictures.items() if number in kept}
            if not pictures:
                raise ValueError(
                    f"{self.origin} has no object to learn from; name a file that has some, "
                    "e.g. data.train"
                )
        self.pictures = list(pictures.values())
        self.annotations = [of_image[each["id"]] for each in self.pictures]
        paths = [_found(images, self.file_name(each)) for each in self.pictures]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise FileNotFoundError(
                f"{len(missing):,} of {len(paths):,} pictures of {self.origin} are not in "
                f"{printable(images)}, e.g. "
                f"{printable(missing[0].relative_to(images))}; set data.root, or the folders of "
                "pictures"
            )
        reading = Reading(max_megapixels, exif=False)  # labels are of what is stored
        self.files = Files(map(str, paths), [-1] * len(paths), reading)
        if not learned_from:
            self.prepare_judging()

    def __len__(self) -> int:
        return len(self.pictures)

    def prepare_judging(self) -> None:
        """Complete what detections are judged by: the area of each object, by which small, medium
        and large ones are told apart. Compressed run lengths are read once, for who counts what was
        found does not say where they cannot be.

        Raises:
            ValueError: where there is no object to judge by, or one cannot be read.
        """
        if all(each.get("iscrowd") for each in self.truth["annotations"]):
            raise ValueError(
                f"{self.origin} has no object to judge by; name a file that has some, e.g. data.val"
            )
        for number, those in enumerate(self.annotations):
            for each in those:
                if "area" not in each:
                    each["area"] = self._area(each, self.size(number))
                elif is_compressed(each["segmentation"]):
                    self._mask(each, self.size(number), self.size(number))

    @property
    def names(self) -> list[str]:
        """Of the categories, in the order of their ids."""
        return [each["name"] for each in _by_id(self.truth["categories"])]

    @property
    def category_ids(self) -> list[int]:
        """As the annotations number them."""
        return list(self.categories)

    def image_id(self, number: int) -> int:
        """As the annotations number it."""
        return self.pictures[number]["id"]

    def file_name(self, picture: Entry) -> str:
        """Where a picture is, in the folder of pictures.

        Raises:
            ValueError: where that would be elsewhere.
        """
        name = picture.get("file_name")
        if not isinstance(name, str):
            raise ValueError(f"{self.origin}: image {picture['id']} has no file_name")
        if name.startswith("/") or ".." in name.replace("\\", "/").split("/"):
            raise ValueError(
                f"{self.origin}: image {picture['id']} is in {printable(name)}, outside of the "
                "folder of pictures"
            )
        return name

    def stamp(self, number: int) -> str:
        """What changes where a picture does, or its size in the annotations."""
        return f"{self.files.stamp(number)} {self.size(number)}"

    def size(self, number: int) -> tuple[int, int]:
        """Height and width of a picture."""
        return self.pictures[number]["height"], self.pictures[number]["width"]

    def image(self, number: int) -> Tensor:
        """A picture (3, H, W) uint8.

        Raises:
            ValueError: where it is of another size than the annotations say.
        """
        # deeper pixels too
        image = self.files.picture(number).round().byte()
        if tuple(image.shape[1:]) != self.size(number):
            raise ValueError(
                f"{printable(self.files.path(number))} has {by(image.shape[1:])} pixels, and "
                f"{self.origin} says {by(self.size(number))}; mend the image's height and width "
                "there"
            )
        return image

    def label_map(self, number: int) -> Tensor:
        """Objects are no label map.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{self.origin} has objects and no class of every pixel; take data=ade20k, or "
            "task=detect"
        )

    def objects(self, number: int, size: tuple[int, int]) -> Objects:
        """Objects of a picture once it is resized: polygons are drawn at that size."""
        whole, those = self.size(number), self.annotations[number]
        masks = [self._mask(each, whole, size) for each in those]
        return Objects.of_masks(
            torch.stack(masks) if masks else torch.zeros(0, *size, dtype=torch.bool),
            torch.tensor(
                [self.categories[each["category_id"]] for each in those], dtype=torch.int64
            ),
            torch.tensor([bool(each.get("iscrowd")) for each in those], dtype=torch.bool),
        )

    def _area(self, annotation: Entry, size: tuple[int, int]) -> float:
        """Pixels of an object: those of its mask, of its box where it has none."""
        pixels = float(self._mask(annotation, size, size).sum())
        return pixels or float(annotation["bbox"][2] * annotation["bbox"][3])

    def _mask(self, annotation: Entry, whole: tuple[int, int], size: tuple[int, int]) -> Tensor:
        try:
            return mask_of(annotation["segmentation"], whole, size)
        except (ValueError, RuntimeError, TypeError) as error:
            reason = f"a mask that cannot be read: {printable(error)}"
            raise ValueError(
                f"{self.origin}: annotation {annotation['id']} has {reason}"
            ) from error

    @cached_property
    def images_of_categories(self) -> list[int]:
        """In how many pictures each category is."""
        counts = Counter(
            self.categories[number]
            for those in self.annotations
            for number in {each["category_id"] for each in those if not each.get("iscrowd")}
        )
        return [counts[number] for number in range(len(self.categories))]

    def repeats(self, threshold: float) -> Tensor:
        """How often each picture is seen in an epoch, (N,): more often where it has a category that
        few have.

        max over its categories of max(1, sqrt(threshold / share of pictures with the category))
        (LVIS, arXiv 1908.03195; detectron2, data/samplers/distributed_sampler.py,
        repeat_factors_from_category_frequency).
        """
        shares = [count / len(self) for count in self.images_of_categories]
        factor = [max(1.0, math.sqrt(threshold / share)) if share else 1.0 for share in shares]
        return torch.tensor(
            [
                max(
                    (
                        factor[self.categories[each["category_id"]]]
                        for each in those
                        if not each.get("iscrowd")
                    ),
                    default=1.0,
                )
                for those in self.annotations
            ],
            dtype=torch.float64,
        )


def _found(folder: Path, name: str) -> Path:
    """Where a picture is; its name may be as another system writes it, `train\\1.jpg`."""
    path = folder / name
    return folder / name.replace("\\", "/") if "\\" in name and not path.is_file() else path


def _by_id(categories: Sequence[Entry]) -> list[Entry]:
    return sorted(categories, key=lambda each: each["id"])
