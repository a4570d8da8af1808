"""Inspection of a data set: formats, sizes, channels, values, broken files and duplicates, picture
by picture.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mim.cores import available_cores
from mim.data.decode import read_values
from mim.data.files import Files
from mim.data.from_files import FromFiles
from mim.data.in_memory import CutInMemory, InMemory
from mim.data.levels import with_data
from mim.data.splits import Pictures, Splits
from mim.plain import Settings, printable

T = TypeVar("T")

SAMPLED = 256
"""Values of a picture that percentiles are taken of, evenly spread."""
BLOCK = 1024
"""Pictures that are looked at before it is said how far it is."""
LOW, HIGH = 0.001, 0.999
"""Shares of values below black and below white, where a range is proposed."""


class Inspected(NamedTuple):
    """One picture of a data set: what its file holds, or why it cannot be read."""

    path: str
    training: bool
    """Whether it is trained on, or held out."""
    broken: str = ""
    """Why it cannot be read; empty where it can."""
    format: str = ""
    size: tuple[int, int] = (0, 0)
    """Height and width."""
    channels: int = 0
    type: str = ""
    """Of its values, as NumPy calls it."""
    range: tuple[float, float] | None = None
    """Its least and its greatest value; None where there is no number."""
    values: NDArray = np.zeros(0)
    """Some of its values, evenly spread."""
    says_range: bool = False
    """Whether its file says which of them are black and white, or how they are shown."""
    digest: bytes = b""
    """Of all its values: the same for pictures that are the same."""


class Inspection(NamedTuple):
    """All pictures of a data set, or some."""

    pictures: list[Inspected]

    @property
    def read(self) -> list[Inspected]:
        """Those that can be read."""
        return [each for each in self.pictures if not each.broken]

    @property
    def broken(self) -> list[Inspected]:
        """Those that cannot be read."""
        return [each for each in self.pictures if each.broken]

    def counts(self, what: Callable[[Inspected], T]) -> list[tuple[T, int]]:
        """How many pictures have what, the most frequent first."""
        return Counter(what(each) for each in self.read).most_common()

    def duplicates(self) -> list[list[Inspected]]:
        """Groups of pictures with the same values, whatever their files are."""
        groups: dict[bytes, list[Inspected]] = defaultdict(list)
        for each in self.read:
            groups[each.digest].append(each)
        return [group for group in groups.values() if len(group) > 1]

    def range(self) -> tuple[float, float] | None:
        """The least and the greatest value of all; None without pictures."""
        ends = [each.range for each in self.read if each.range]
        return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None

    def percentiles(self) -> tuple[float, float]:
        """Values that one in a thousand is below, and above."""
        low, high = np.quantile(np.concatenate([each.values for each in self.read]), [LOW, HIGH])
        return float(low), float(high)

    def proposed(self) -> Settings:
        """Settings that the files ask for: `channels`, where all have another number than three,
        and `range`, where neither they nor their type say it, or it says too much (12 bits in 16).
        """
        channels = [number for number, _ in self.counts(lambda each: each.channels)]
        settings: Settings = (
            {"channels": channels[0]} if len(channels) == 1 and channels[0] != 3 else {}
        )
        types, ends = {kind for kind, _ in self.counts(lambda each: each.type)}, self.range()
        in_memory = not any(each.format for each in self.read)
        said = all(each.says_range for each in self.read)
        if ends is None or in_memory or said or types <= {"uint8", "bool"}:
            return settings
        if types == {"uint16"}:
            bits = max(8, int(ends[1]).bit_length())
            return settings | ({"range": [0, 2**bits - 1]} if bits < 16 else {})
        if all(kind.startswith("float") for kind in types) and ends[0] >= 0 and ends[1] <= 1:
            return settings
        return settings | {"range": [_short(value) for value in self.percentiles()]}


def _short(value: float) -> float | int:
    """Four digits of a number."""
    short = float(f"{value:.4g}")
    return int(short) if short == int(short) else short


Look = Callable[[int], Inspected]


def inspect(
    splits: Splits, limit: int | None = None, progress: Callable[[int], None] = lambda done: None
) -> Inspection:
    """Look at every picture of a data set, or at some, evenly spread.

    Args:
        splits: of a data set, of files or in memory.
        limit: pictures at most of each split; None for all.
        progress: told how many are done.

    Raises:
        ValueError: where the data set makes its pictures otherwise.
    """
    made: list[Inspected] = []
    with ThreadPoolExecutor(available_cores()) as pool:  # decoders work beside each other
        for pictures, training in ((splits.train, True), (splits.val, False)):
            look, numbers = _look_at(pictures, training)
            for some in _spread(numbers, limit).split(BLOCK):
                made += pool.map(look, some.tolist())
                progress(len(made))
    return Inspection(made)


def _look_at(pictures: Pictures, training: bool) -> tuple[Look, Tensor]:
    """What looks at a picture of a split, and the numbers of them all."""
    if isinstance(pictures, FromFiles):
        return partial(_of_file, pictures.files, training), pictures.numbers
    if isinstance(pictures, InMemory | CutInMemory):
        return partial(_of_image, pictures.image, training), torch.arange(len(pictures.image))
    raise ValueError(
        f"{type(pictures).__name__} makes its pictures in another way than from files or memory; "
        "look at "
        "the folder of its pictures: data=image_folder data.root=<folder>"
    )


def _spread(numbers: Tensor, limit: int | None) -> Tensor:
    if limit is None or limit >= len(numbers):
        return numbers
    return numbers[torch.linspace(0, len(numbers) - 1, limit).round().long()]


def _of_file(files: Files, training: bool, number: int) -> Inspected:
    path = files.path(number)
    try:
        found = read_values(files.content(number), files.reading._replace(channels=0))
    except Exception as error:  # decoders raise what they like
        return Inspected(path, training, broken=printable(error) or type(error).__name__)
    made = _of_values(path, training, found.format, found.values, found.nothing)
    return made._replace(says_range=found.range is not None or found.shown is not None)


def _of_image(image: Tensor, training: bool, row: int) -> Inspected:
    return _of_values(
        f"{'training' if training else 'held out'}/{row}", training, "", image[row].numpy()
    )


def _of_values(
    path: str, training: bool, kind: str, values: NDArray, nothing: float | None = None
) -> Inspected:
    """Of values (c, H, W)."""
    channels, height, width = values.shape
    there = with_data(values, nothing)
    known = values[np.isfinite(values) if there is None else np.isfinite(values) & there]
    some = (
        (np.arange(min(SAMPLED, known.size)) + 0.5) * known.size / max(1, min(SAMPLED, known.size))
    ).astype(int)
    digest = hashlib.blake2b(repr((values.shape, values.dtype.str)).encode(), digest_size=16)
    digest.update(values.tobytes())
    return Inspected(
        path,
        training,
        format=kind,
        size=(height, width),
        channels=channels,
        type=str(values.dtype),
        range=(float(known.min()), float(known.max())) if known.size else None,
        values=known[some].astype(np.float64),
        digest=digest.digest(),
    )
