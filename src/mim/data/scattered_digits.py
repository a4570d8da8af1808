"""Scenes of scanned digits of several sizes on a ground: boxes, masks and label maps are known,
nothing is downloaded.
"""

from functools import cached_property

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import interpolate

from mim.augment.augmentation import Augmentation
from mim.augment.jitter import Jitter
from mim.augment.resample import Interpolation
from mim.data.dense import DenseData, SceneSplits
from mim.data.in_memory import Stored, in_memory_splits
from mim.data.masks import run_lengths
from mim.data.scenes import Labels
from mim.data.splits import Splits
from mim.data.statistics import Deviation, Mean
from mim.dense import Entry, Objects
from mim.draw import SCENE, keys, uniform
from mim.ranges import Count, NonNegativeInt, Seed

MOST, TRIES = 5, 8
"""Digits of a scene, and places that are tried for each."""
SMALLEST, LARGEST = 3 / 16, 1 / 2
"""Side of a digit over that of the scene."""


class DigitScenes:
    """Scenes drawn from digits, each from a key of its own.

    Args:
        digits: (D, 8, 8) in [0, 1].
        category: (D,), which digit each is.
        count: of the scenes.
        side: pixels per side of a scene.
        part: scenes of one part are never those of another.
    """

    wants_workers = False
    style = "coco"
    category_ids = tuple(range(10))

    def __init__(self, digits: Tensor, category: Tensor, count: int, side: int, part: int):
        self.digits, self.category, self.side = digits, category, side
        self.keys = keys(0, part, torch.arange(count))

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def drawn(self) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Images (N, 3, S, S) uint8, which object each pixel is of (N, S, S) uint8, 0 for none, and
        categories of the objects.
        """
        images, owners, categories = zip(*(self._draw(key) for key in self.keys), strict=True)
        return torch.stack(images), torch.stack(owners), list(categories)

    def size(self, number: int) -> tuple[int, int]:
        """Height and width of a picture."""
        return self.side, self.side

    def image(self, number: int) -> Tensor:
        """A picture (3, S, S) uint8."""
        return self.drawn[0][number]

    def label_map(self, number: int) -> Tensor:
        """(S, S) uint8: 0 for the ground, one more than the digit elsewhere."""
        _, owner, categories = self.drawn
        table = torch.cat([torch.zeros(1, dtype=torch.int64), categories[number] + 1])
        return table[owner[number].long()].byte()

    def objects(self, number: int, size: tuple[int, int]) -> Objects:
        """The digits, in pixels of the picture once it is resized."""
        _, owner, categories = self.drawn
        mask = owner[number] == torch.arange(1, 1 + len(categories[number]))[:, None, None]
        if size != (self.side, self.side):
            mask = interpolate(mask[None].float(), size=size, mode="nearest-exact")[0].bool()
        return Objects.of_masks(mask, categories[number])

    def image_id(self, number: int) -> int:
        """Number of a picture in `truth`: its own."""
        return number

    @cached_property
    def truth(self) -> Entry:
        """The digits in COCO's format, their masks as run lengths."""
        annotations: list[Entry] = []
        for number in range(len(self)):
            objects = self.objects(number, self.size(number))
            for box, category, mask in zip(
                objects.box.tolist(), objects.category.tolist(), objects.mask, strict=True
            ):
                x1, y1, x2, y2 = box
                runs = run_lengths(mask)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": category,
                        "iscrowd": 0,
                        "area": int(mask.sum()),
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "segmentation": runs,
                    }
                )
        return {
            "images": [
                {"id": n, "height": self.side, "width": self.side} for n in range(len(self))
            ],
            "annotations": annotations,
            "categories": [{"id": digit, "name": str(digit)} for digit in self.category_ids],
        }

    def _draw(self, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        side, u = self.side, uniform(key[None], 64 + MOST * (8 + 2 * TRIES), SCENE)[0]
        ground, u = u[:64], u[64:].view(MOST, -1)
        colour = 60 + 120 * ground[:3].view(3, 1, 1)
        waves = interpolate(
            ground[3:51].view(1, 3, 4, 4), size=(side, side), mode="bicubic", align_corners=False
        )[0]
        image, owner = colour + 60 * (waves - 0.5), torch.zeros(side, side, dtype=torch.uint8)
        boxes: list[tuple[int, int, int]] = []
        categories: list[int] = []
        for draws in u[: 1 + int(ground[63] * MOST)]:
            which = int(draws[0] * len(self.digits))
            length = int(side * (SMALLEST + (LARGEST - SMALLEST) * draws[1]))
            place = _free(boxes, draws[8:].view(TRIES, 2), length, side)
            if place is None:
                continue
            top, left = place
            boxes.append((top, left, length))
            ink = interpolate(
                self.digits[None, None, which], size=(length, length), mode="bicubic"
            )[0, 0].clamp(0, 1)
            light = 1.0 if draws[2] < 0.5 else -1.0
            paint = (colour + light * (70 + 60 * draws[3:6].view(3, 1, 1))).clamp(0, 255)
            region = (slice(top, top + length), slice(left, left + length))
            image[(slice(None), *region)] = image[(slice(None), *region)] * (1 - ink) + paint * ink
            categories.append(int(self.category[which]))
            owner[region][ink > 0.5] = len(categories)
        return image.clamp(0, 255).round().byte(), owner, torch.tensor(categories)


def _free(
    boxes: list[tuple[int, int, int]], draws: Tensor, length: int, side: int
) -> tuple[int, int] | None:
    """The first of some drawn places, (row, column), where a digit covers no other; None where each
    does.
    """
    for top, left in (draws * (side - length + 1)).int().tolist():
        if all(
            top + length <= y or y + other <= top or left + length <= x or x + other <= left
            for y, x, other in boxes
        ):
            return top, left
    return None


class ScatteredDigits(DenseData):
    """One to five digits a scene, of 3/16 to 1/2 of its side, on a ground of soft colours. Held-out
    scenes have held-out digits.

    Args:
        augment: says what views there are where images are learned from without labels.
        jitter: what is done to them where labels are learned from.
        image_size: pixels per side of a scene, and of what the model sees.
        batch_size: training images per step and process.
        train_scenes: how many there are to learn from.
        held_out: how many are held out.
        seed: decides order, crops, flips and masks; the scenes are always the same.
        num_workers: of no use here: scenes are in memory.
        shuffle: a new order every epoch; false to see the same batches in each.
        mean: of pixels in [0, 1], subtracted: three numbers, `imagenet`, or `own` for the data
            set's.
        std: that they are divided by, alike.
        resize: pixels of the short side of held-out images; null for as they are.
        resize_interpolation: how, where images are judged without labels.
    """

    own_mean, own_std = (0.47, 0.47, 0.47), (0.17, 0.17, 0.17)

    def __init__(
        self,
        augment: Augmentation,
        jitter: Jitter,
        image_size: Count,
        batch_size: Count,
        train_scenes: Count = 1000,
        held_out: Count = 250,
        seed: Seed = 0,
        num_workers: NonNegativeInt | None = None,
        shuffle: bool = True,
        mean: Mean = "own",
        std: Deviation = "own",
        resize: Count | None = None,
        resize_interpolation: Interpolation = "bicubic",
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
        self.jitter, self.counts = jitter, (train_scenes, held_out)

    @cached_property
    def drawn(self) -> tuple[DigitScenes, DigitScenes]:
        """Training scenes and held-out ones."""
        digits = load_digits()
        image, category = (
            torch.from_numpy(digits.images).float() / 16,
            torch.from_numpy(digits.target).long(),
        )
        parts = train_test_split(
            torch.arange(len(category)), test_size=0.25, stratify=category, random_state=0
        )
        train, val = (
            DigitScenes(image[part], category[part], count, self.image_size, number)
            for number, (part, count) in enumerate(zip(parts, self.counts, strict=True))
        )
        return train, val

    def scenes(self, labels: Labels) -> SceneSplits:
        """Eleven classes of pixels, the ground first, or ten of objects."""
        names = [str(digit) for digit in range(10)]
        return SceneSplits(*self.drawn, ["ground", *names] if labels == "label_maps" else names)

    def images_alone(self) -> Splits:
        """Scenes without a class of their own."""
        train, val = (Stored(part.drawn[0], torch.full((len(part),), -1)) for part in self.drawn)
        return in_memory_splits(train, val, self.augment, self.image_size, [], self.in_centre)
