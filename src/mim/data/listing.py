"""Which picture files of a folder are for training, which are held out, and what their classes are."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mim.data.decode import MAX_MEGAPIXELS, SUFFIXES
from mim.data.files import Files


class Listing(NamedTuple):
    """Picture files and their places in a data set."""

    files: Files
    train: Tensor
    """(N,) numbers of the files to train on."""
    val: Tensor
    """(M,) numbers of the files held out."""
    classes: list[str]
    """Names of the class folders; empty without."""


def find_pictures(folder: Path) -> list[str]:
    """All pictures below a folder, by their path in it, sorted.

    Raises:
        FileNotFoundError: where there are none.
    """
    found = sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no pictures ({', '.join(SUFFIXES)}); put some there or point data.root elsewhere, "
            "e.g. data.root=/path/to/pictures."
        )
    return found


def class_names(paths: Sequence[str]) -> list[str]:
    """The first folders of the paths, if every picture lies in one and there are at least two; otherwise no classes."""
    first = {Path(path).parts[0] if len(Path(path).parts) > 1 else "" for path in paths}
    return sorted(first) if "" not in first and len(first) > 1 else []


def hold_out(count: int, share: float) -> tuple[Tensor, Tensor]:
    """Numbers of the pictures to train on and of a share that is held out: always the same.

    Raises:
        ValueError: where it is no share, or nothing would be left to train on.
    """
    if not 0 < share < 1:
        raise ValueError(f"data.held_out={share}; needs a share between 0 and 1, e.g. data.held_out=0.1")
    held_out = max(1, int(count * share))
    if held_out >= count:
        raise ValueError(f"data.root holds {count} picture; needs at least 2, so that one can be held out.")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[held_out:].sort().values, order[:held_out].sort().values


def list_pictures(
    train: Path, val: Path | None, held_out: float = 0.1, max_megapixels: float = MAX_MEGAPIXELS
) -> Listing:
    """The pictures below two folders, or below one of which a share is held out.

    Raises:
        ValueError: where training pictures have classes and held-out pictures have others.
    """
    train_paths, val_paths = find_pictures(train), find_pictures(val) if val else []
    classes = class_names(train_paths)
    number = {name: label for label, name in enumerate(classes)}
    strange = [path for path in val_paths if classes and Path(path).parts[0] not in number]
    if strange:
        raise ValueError(
            f"{val} holds {len(strange)} picture(s) outside of the class folders of {train}, such as {strange[0]}; "
            "sort them into folders of the same names."
        )
    files = Files(
        [str(train / path) for path in train_paths] + [str(val / path) for path in val_paths if val],
        [number[Path(path).parts[0]] if classes else -1 for path in train_paths + val_paths],
        max_megapixels,
    )
    if val:
        chosen = torch.arange(len(files))
        return Listing(files, chosen[: len(train_paths)], chosen[len(train_paths) :], classes)
    return Listing(files, *hold_out(len(files), held_out), classes)
