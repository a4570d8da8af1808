"""Any folder of pictures, nested or flat, with or without class folders."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from mim.augment.pictures import Centred, Cropped
from mim.augment.whole import Whole
from mim.data.decode import SUFFIXES
from mim.data.files import Files, find_pictures
from mim.data.from_files import FromFiles
from mim.data.in_memory import InMemory
from mim.data.module import Data, Splits, View


def class_names(paths: Sequence[str]) -> list[str]:
    """The first folders of the paths, if every picture lies in one and there are at least two; otherwise no classes."""
    first = {Path(path).parts[0] if len(Path(path).parts) > 1 else "" for path in paths}
    return sorted(first) if "" not in first and len(first) > 1 else []


class ImageFolder(Data):
    """Pictures below a folder, which may hold `train/` and `val/` or `test/`; the folders below that are the classes.

    Args:
        root: the folder.
        augment: decides crops and flips of training images.
        image_size: pixels per side of what the model sees.
        batch_size: training images per step and process.
        held_out: share of the pictures to hold out, always the same, where there is no `val/` or `test/`.
        in_memory: keep all pictures as uint8 at `image_size`, for small ones.
        seed: decides order, crops, flips and masks.
        num_workers: processes that decode pictures; null for one per core.
        shuffle: a new order every epoch.
    """

    def __init__(
        self,
        root: str,
        augment: View,
        image_size: int = 224,
        batch_size: int = 256,
        held_out: float = 0.1,
        in_memory: bool = False,
        seed: int = 0,
        num_workers: int | None = None,
        shuffle: bool = True,
    ):
        super().__init__(augment, image_size, batch_size, seed, num_workers, shuffle)
        if not 0 < held_out < 1:
            raise ValueError(f"data.held_out={held_out}; needs a share between 0 and 1, e.g. data.held_out=0.1")
        self.root, self.held_out, self.in_memory = Path(root), held_out, in_memory

    def load(self) -> Splits:
        """List the pictures; decode them if they stay in memory."""
        train, val = self._folders()
        train_paths, val_paths = self._pictures(train), self._pictures(val) if val else []
        classes = class_names(train_paths)
        number = {name: label for label, name in enumerate(classes)}
        files = Files(
            [str(train / path) for path in train_paths] + [str(val / path) for path in val_paths if val],
            [number.get(Path(path).parts[0], -1) for path in train_paths + val_paths],
        )
        if val:
            train_numbers, val_numbers = torch.arange(len(files)).split([len(train_paths), len(val_paths)])
        else:
            train_numbers, val_numbers = self._hold_out(len(files))
        if self.in_memory:
            return in_memory_splits(files, train_numbers, val_numbers, self.augment, self.image_size, classes)
        clean = Centred(self.image_size)
        return Splits(
            train=FromFiles(files, train_numbers, Cropped(self.augment, self.image_size)),
            val=FromFiles(files, val_numbers, clean),
            bank=FromFiles(files, train_numbers, clean),
            classes=classes,
        )

    def _folders(self) -> tuple[Path, Path | None]:
        """Where the training pictures are and where those held out, if they have a folder."""
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"data.root={self.root} is not a folder; point it at pictures, e.g. data.root=/path/to/pictures, "
                "which may hold train/ and val/ or test/."
            )
        if not (self.root / "train").is_dir():
            return self.root, None
        held_out = [self.root / name for name in ("val", "test") if (self.root / name).is_dir()]
        return self.root / "train", held_out[0] if held_out else None

    def _pictures(self, folder: Path) -> list[str]:
        paths = find_pictures(folder)
        if not paths:
            raise FileNotFoundError(
                f"data.root={self.root}: {folder} holds no pictures ({', '.join(SUFFIXES)}); "
                "put some there or point data.root elsewhere."
            )
        return paths

    def _hold_out(self, count: int) -> tuple[Tensor, Tensor]:
        """Numbers of the pictures to train on and of those held out: the same for every seed."""
        held_out = max(1, int(count * self.held_out))
        if held_out >= count:
            raise ValueError(f"data.root={self.root} holds {count} picture(s); needs at least 2, to hold one out.")
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        return order[held_out:].sort().values, order[:held_out].sort().values


def in_memory_splits(
    files: Files, train: Tensor, val: Tensor, augment: View, image_size: int, classes: list[str]
) -> Splits:
    """Decode all files and keep them at one size; the numbers (N,) of `train` and `val` say which go where."""
    centred = Centred(image_size, share=1.0)

    def small(number: int) -> Tensor | None:
        picture = files.read(number)
        return None if picture is None else centred([picture], torch.zeros(1))[0][0]

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        pictures = list(pool.map(small, range(len(files))))
    files.check()

    def gather(numbers: Tensor) -> tuple[Tensor, Tensor]:
        kept = [number for number in numbers.tolist() if pictures[number] is not None]
        return torch.stack([picture for number in kept if (picture := pictures[number]) is not None]), files.label[kept]

    train_data, val_data = gather(train), gather(val)
    return Splits(
        train=InMemory(*train_data, augment, image_size),
        val=InMemory(*val_data, Whole(), image_size),
        bank=InMemory(*train_data, Whole(), image_size),
        classes=classes,
    )
