"""Image format: how pictures become the images that weights were trained on, and their classes."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, Protocol

from mim.geometry import pair
from mim.plain import Settings, printable
from mim.ranges import Rising

MOST_CLASSES, LONGEST_NAME = 100_000, 1000  # of a file; ImageNet-22k has 21,841 classes
Interpolation = Literal["bicubic", "bilinear"]
Levels = Annotated[tuple[float, float], Rising(True), "black below white, e.g. [0,4095]"]
Range = Levels | Literal["image", "percentiles"] | None
"""Values that are black and white: two numbers; each image's least and greatest; its percentiles 1
and 99, which a few wrong pixels do not move; or None by the type of its values."""
INTERPOLATIONS: tuple[Interpolation, ...] = ("bicubic", "bilinear")


class FormattedData(Protocol):
    """Parts of a data module that say how it shows clean images."""

    image_size: int | tuple[int, int]
    range: Range

    @property
    def mean(self) -> Sequence[float]: ...
    @property
    def std(self) -> Sequence[float]: ...
    @property
    def clean_resize(self) -> tuple[int, Interpolation]: ...
    @property
    def classes(self) -> list[str]: ...


class ImageFormat(NamedTuple):
    """Image format: channels, normalisation, cutting and class names, as checkpoints and exports
    carry them.
    """

    mean: tuple[float, ...]
    """Of each channel, subtracted from pixels in [0, 1]."""
    std: tuple[float, ...]
    """Deviation of each channel, that they are then divided by."""
    short: float = 256 / 224
    """Short side that a picture is resized to before its centre is cut out, over the side of the
    centre; 1 for no more than the centre."""
    interpolation: Interpolation = "bicubic"
    """How it is resized."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of a head's scores; empty where nothing says them."""
    range: Range = None
    """Which values of a picture are black and white."""

    @property
    def channels(self) -> int:
        """C, channels of an image."""
        return len(self.mean)

    @classmethod
    def of_data(cls, data: FormattedData, classes: bool = True) -> "ImageFormat":
        """Image format of a data module; without its classes nothing is read from a disk."""
        names = tuple(str(name) for name in data.classes) if classes else ()
        mean, std = (tuple(float(value) for value in values) for values in (data.mean, data.std))
        short, interpolation = data.clean_resize
        return cls(mean, std, short / min(pair(data.image_size)), interpolation, names, data.range)

    def short_side(self, size: int) -> int:
        """Short side in pixels of what a centre of so many pixels is cut out of, rounded down."""
        return int(size * self.short + 1e-6)

    def to_plain(self) -> Settings:
        """Lists, numbers and words, as files keep them."""
        lists = {"mean": list(self.mean), "std": list(self.std), "classes": list(self.classes)}
        if isinstance(self.range, tuple):
            lists["range"] = list(self.range)
        return self._asdict() | lists | {"channels": self.channels}

    @classmethod
    def from_plain(cls, content: object, origin: str) -> "ImageFormat":
        """Image format out of a file that anybody may have written.

        Args:
            content: what `to_plain` made.
            origin: the file, for messages.

        Raises:
            ValueError: one line about the first value that is none.
        """
        if not isinstance(content, dict):
            raise ValueError(
                f"{printable(origin)}: images is a {type(content).__name__}, no image format"
            )
        mean, std = (
            _numbers(content.get(name), f"{origin}: images.{name}") for name in ("mean", "std")
        )
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(
                f"{printable(origin)}: images.mean and images.std are {list(mean)} and "
                f"{list(std)}; needs as many "
                "numbers each, deviations above 0"
            )
        (short,) = _numbers(
            [content.get("short", cls._field_defaults["short"])], f"{origin}: images.short"
        )
        interpolation, classes = content.get("interpolation", "bicubic"), content.get("classes", [])
        if not 1 <= short <= 64 or interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"{printable(origin)}: images.short={short:g}, "
                f"images.interpolation={printable(interpolation, 60)}; needs "
                f"1 to 64, and one of {', '.join(INTERPOLATIONS)}"
            )
        names = isinstance(classes, list) and len(classes) <= MOST_CLASSES
        if not names or not all(
            type(name) is str and len(name) <= LONGEST_NAME for name in classes
        ):
            raise ValueError(f"{printable(origin)}: images.classes is no list of names")
        range = _range(content.get("range"), f"{origin}: images.range")
        return cls(mean, std, short, interpolation, tuple(classes), range)


def _range(said: object, what: str) -> Range:
    if said is None or said == "image" or said == "percentiles":
        return said
    if isinstance(said, list | tuple) and len(said) == 2:
        black, white = _numbers(said, what)
        if black < white:
            return black, white
    raise ValueError(
        f"{printable(what)} is {printable(said, 60)}; needs two numbers, black below white, or "
        "image, or percentiles"
    )


def _numbers(values: object, what: str) -> tuple[float, ...]:
    listed = values if isinstance(values, list | tuple) else ()
    numbers = [value for value in listed if type(value) in (int, float) and math.isfinite(value)]
    if len(numbers) != len(listed) or not 1 <= len(numbers) <= 64:
        raise ValueError(
            f"{printable(what)} is {printable(values, 60)}; needs a finite number for each channel"
        )
    return tuple(float(value) for value in numbers)
