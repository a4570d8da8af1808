"""Pictures and their label maps, read from two folders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from mim.data.decode import read_values
from mim.data.files import Files
from mim.data.levels import MAX_MEGAPIXELS, Reading, refuse_large
from mim.data.listing import find_pictures
from mim.data.stamp import file_stamp
from mim.dense import IGNORE, Objects
from mim.plain import printable
from mim.ranges import NonNegativeInt

Colour = tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]


class LabelMapScenes:
    """Pictures and their label maps, which have the names of the pictures.

    Args:
        images: folder of the pictures.
        label_maps: folder of the label maps: pictures of one channel or with a palette, whose
            values are classes.
        classes: how many there are.
        first_class: value of class 0; smaller ones are ignored.
        ignore: value of pixels of which nothing is known.
        colours: of the classes, where label maps are coloured; others are ignored.
        max_megapixels: of a picture that is decoded, in millions of pixels.
        listed: file that names the pictures, one a line without its ending; null for all of the
            folder.

    Raises:
        FileNotFoundError: where a folder, a picture that is listed, or the label map of a picture
            is missing.
        ValueError: where a picture has two.
    """

    wants_workers = True

    def __init__(
        self,
        images: Path,
        label_maps: Path,
        classes: int,
        first_class: int = 0,
        ignore: int = IGNORE,
        colours: Sequence[Colour] | None = None,
        max_megapixels: float = MAX_MEGAPIXELS,
        listed: Path | None = None,
    ):
        for folder in (images, label_maps):
            if not folder.is_dir():
                raise FileNotFoundError(
                    f"there is no folder {printable(folder)}; set data.root, or the folders of the "
                    "data set"
                )
        names, maps = find_pictures(images), _by_stem(label_maps)
        if listed:
            names = _listed(names, listed)
        lacks = [name for name in names if _stem(name) not in maps]
        if lacks:
            raise FileNotFoundError(
                f"{len(lacks):,} of {len(names):,} pictures of {printable(images)} have no label "
                "map of their name in "
                f"{printable(label_maps)}, e.g. {printable(lacks[0])}"
            )
        paths = [str(images / name) for name in names]
        # Labels are of what is stored, so nothing is turned.
        self.files = Files(paths, [-1] * len(paths), Reading(max_megapixels, exif=False))
        self.maps = [label_maps / maps[_stem(name)] for name in names]
        self.classes, self.first_class, self.ignore = classes, first_class, ignore
        self.colours = (
            None if colours is None else torch.tensor([list(colour) for colour in colours])
        )

    def __len__(self) -> int:
        return len(self.maps)

    def stamp(self, number: int) -> str:
        """What changes where a picture or its label map does."""
        return f"{self.files.stamp(number)} {file_stamp(self.maps[number])}"

    def size(self, number: int) -> tuple[int, int]:
        """Height and width of a picture, by what the header of its label map says."""
        file = self.maps[number]
        try:
            with Image.open(file) as picture:
                return picture.size[1], picture.size[0]
        except UnidentifiedImageError:
            height, width = self._stored(file).shape[:2]
            return height, width

    def image(self, number: int) -> Tensor:
        """A picture (3, H, W) uint8.

        Raises:
            ValueError: where its label map is of another size.
        """
        image, size = (
            self.files.picture(number).round().byte(),
            self.size(number),
        )
        if tuple(image.shape[1:]) != size:
            raise ValueError(
                f"{printable(self.files.path(number))} has {image.shape[1]} x {image.shape[2]} "
                "pixels and its label map "
                f"{size[0]} x {size[1]}"
            )
        return image

    def label_map(self, number: int) -> Tensor:
        """Classes (H, W) uint8.

        Raises:
            ValueError: where a pixel has a class that is none, colours are not said, or the file is
                a JPEG.
        """
        file = self.maps[number]
        stored = self._stored(file)
        with np.errstate(invalid="ignore"):  # NaN is found to be no whole number
            values = torch.from_numpy(stored.astype(np.int32))
        if stored.dtype.kind == "f" and (values.numpy() != stored).any():
            raise ValueError(f"{printable(file)} has values that are no whole numbers, so no class")
        if values.ndim == 3 and values.shape[2] == 2:  # opacity beside the class
            values = values[..., 0]
        if values.ndim == 3:
            return self._of_colours(values[..., :3], file)
        known = (values != self.ignore) & (values >= self.first_class)
        wrong = values[known & (values >= self.first_class + self.classes)]
        if len(wrong):
            raise ValueError(
                f"{printable(file)} has class {int(wrong[0])}, and classes are {self.first_class} "
                f"to {self.first_class + self.classes - 1}, or {self.ignore} for what is ignored; "
                "see data.classes, data.first_class and data.ignore"
            )
        return torch.where(known, values - self.first_class, IGNORE).byte()

    def _stored(self, file: Path) -> NDArray:
        """Values of a label map, (H, W) or (H, W, c): of palettes the numbers of their colours; of
        arrays and of what else Pillow does not read (whole numbers of 64 bits) what is in them.
        """
        try:
            return _read(file, self.files.reading._replace(channels=0))
        except Exception as error:  # of many kinds, where a file is damaged
            raise ValueError(f"{printable(file)} cannot be read: {printable(error)}") from error

    def _of_colours(self, values: Tensor, file: Path) -> Tensor:
        if self.colours is None:
            raise ValueError(
                f"{printable(file)} is coloured; say the colours of the classes, "
                "data.colours=[[0,0,0],[128,0,0]], or give label "
                "maps of one channel"
            )
        same = (values[..., None, :] == self.colours).all(dim=-1)  # (H, W, classes)
        return torch.where(same.any(dim=-1), same.int().argmax(dim=-1), IGNORE).byte()

    def objects(self, number: int, size: tuple[int, int]) -> Objects:
        """Label maps have no objects.

        Raises:
            ValueError: always.
        """
        raise ValueError("label maps have no objects; take task=segment, or data=coco")


def _read(file: Path, reading: Reading) -> NDArray:
    """Values that a file holds: by Pillow, and what it does not know as pictures are read."""
    try:
        with Image.open(file) as picture:
            refuse_large(*picture.size, reading.max_megapixels)
            if picture.format == "JPEG":
                raise ValueError(
                    "it is a JPEG, whose compression changes classes; give label maps as PNG"
                )
            return np.asarray(picture)
    except UnidentifiedImageError:
        values = read_values(Files([str(file)], [-1], reading).content(0), reading).values
    return values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)


def _stem(name: str) -> str:
    return str(Path(name).with_suffix(""))


def _by_stem(folder: Path) -> dict[str, str]:
    """Label maps by their names without ending."""
    maps: dict[str, str] = {}
    for name in find_pictures(folder):
        other = maps.setdefault(_stem(name), name)
        if other != name:
            raise ValueError(
                f"{printable(folder)} has {printable(other)} and {printable(name)}, two label maps "
                "of one picture; leave one there"
            )
    return maps


def _listed(names: Sequence[str], file: Path) -> list[str]:
    """Pictures that a file names, in its order."""
    if not file.is_file():
        raise FileNotFoundError(
            f"there is no list {printable(file)}; set data.root, or data.train_list and "
            "data.val_list"
        )
    of_stem = {_stem(name): name for name in names}
    wanted = file.read_text().split()
    lacks = [name for name in wanted if name not in of_stem]
    if lacks or not wanted:
        raise FileNotFoundError(
            f"{printable(file)} names {len(wanted):,} pictures, of which {len(lacks):,} are not "
            "there" + (f", e.g. {printable(lacks[0])}" if lacks else "")
        )
    return [of_stem[name] for name in wanted]
