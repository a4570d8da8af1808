"""Which picture files of a folder are for training, which are held out, and what their classes
are.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from mim.data.files import Files
from mim.data.folders import Folders, is_hidden
from mim.data.formats import ARRAYS, NEEDS, suffixes
from mim.data.levels import COLOURS, Reading
from mim.plain import printable
from mim.ranges import Fraction, refuse_outside

HELD_OUT = 0.1
HeldOut = Annotated[Fraction, "e.g. 0.1"]


class Listing(NamedTuple):
    """Picture files and their places in a data set."""

    files: Files
    train: Tensor
    """(N,) numbers of the files to train on."""
    val: Tensor
    """(M,) numbers of the files held out."""
    classes: list[str]
    """Names of the class folders; empty without."""
    left_out: str = ""
    """What lies there and is not looked at, in one line; empty without."""


class FolderContent(NamedTuple):
    """What lies below a folder."""

    pictures: list[str]
    """Their paths in it, sorted."""
    others: Counter[str]
    """Other files, by suffix."""


def find_pictures(folder: Path) -> list[str]:
    """All pictures below a folder, by their path in it, sorted.

    Raises:
        FileNotFoundError: where there are none.
    """
    return find(folder).pictures


def find(folder: Path, apart: Sequence[Path] = ()) -> FolderContent:
    """Pictures and other files below a folder, but for hidden ones, and those in some other
    folders.

    Raises:
        FileNotFoundError: where there are no pictures.
    """
    pictures, arrays, others = [], [], Counter[str]()
    skipped = {str(path) for path in apart}
    for path in _files(str(folder), skipped):
        suffix = os.path.splitext(path)[1].lower()
        if suffix in suffixes():
            pictures.append(os.path.relpath(path, folder))
        elif suffix in ARRAYS:
            arrays.append(os.path.relpath(path, folder))
        else:
            others[suffix or "without a suffix"] += 1
    if pictures and arrays:  # features beside pictures, say
        others.update(os.path.splitext(path)[1].lower() for path in arrays)
    pictures = pictures or arrays
    if not pictures:
        raise FileNotFoundError(
            f"{printable(folder)} holds no pictures ({', '.join([*suffixes(), *ARRAYS])}); put "
            "some there or point data.root "
            "elsewhere, e.g. "
            f"data.root=/path/to/pictures.{' It holds ' + counted(others) if others else ''}"
        )
    return FolderContent(sorted(pictures), others)


def _files(top: str, skipped: set[str]) -> Iterator[str]:
    """Files below a folder; links are followed, but none to a folder that it lies in."""
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [(top, ())]
    while waiting:
        folder, above = waiting.pop()
        stat = os.stat(folder)
        here = (stat.st_dev, stat.st_ino)
        if here in above:
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    if not is_hidden(entry.name) and entry.path not in skipped:
                        waiting.append((entry.path, (*above, here)))
                elif entry.is_file() and not entry.name.startswith("."):
                    yield entry.path


def counted(others: Counter[str]) -> str:
    """`3 .txt, 2 .heic (pip install pillow-heif)`."""
    known = {suffix: f" ({need})" for suffix, need in NEEDS.items() if suffix not in suffixes()}
    parts = [
        f"{count:,} {printable(suffix, 40)}{known.get(suffix, '')}"
        for suffix, count in sorted(others.items(), key=lambda other: (-other[1], other[0]))[:12]
    ]
    return ", ".join(parts) + (", ..." if len(others) > 12 else "")


def _folder(path: str) -> str:
    """The first folder of a path; empty where it has none."""
    return path.partition(os.sep)[0] if os.sep in path else ""


def class_names(paths: Sequence[str]) -> list[str]:
    """The first folders of the paths, if there are at least two and most pictures lie in them;
    otherwise no classes.
    """
    first = Counter(map(_folder, paths))
    stray = first.pop("", 0)
    return sorted(first) if len(first) > 1 and 2 * stray < len(paths) else []


def hold_out(count: int, share: float | None) -> tuple[Tensor, Tensor]:
    """Numbers of the pictures to train on and of a share that is held out: always the same.

    Raises:
        ValueError: where it is no share, or nothing would be left to train on.
    """
    share = HELD_OUT if share is None else share
    refuse_outside("data.held_out", share, HeldOut)
    held_out = max(1, int(count * share))
    if held_out >= count:
        raise ValueError(
            f"data.root holds {count} picture; needs at least 2, so that one can be held out."
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[held_out:].sort().values, order[:held_out].sort().values


def all_held_out(count: int) -> tuple[Tensor, Tensor]:
    """Numbers of the pictures where all are judged and none is learned from."""
    return torch.arange(count), torch.arange(count)


def list_pictures(
    train: Path,
    val: Path | None,
    held_out: float | None = None,
    reading: Reading = COLOURS,
    apart: Sequence[Path] = (),
    only_judged: bool = False,
) -> Listing:
    """The pictures below two folders, or below one of which a share is held out, or all if it is
    only judged.

    Raises:
        ValueError: where training pictures have classes and held-out pictures have others.
    """
    learned, judged = find(train, apart), find(val) if val else FolderContent([], Counter())
    classes = class_names(learned.pictures)
    number = {name: label for label, name in enumerate(classes)}
    train_paths, beside = _without_stray(learned.pictures, bool(classes))
    val_paths, beside_val = _without_stray(judged.pictures, bool(classes))
    strange = [path for path in val_paths if classes and _folder(path) not in number]
    if strange:
        raise ValueError(
            f"{printable(val)} holds {len(strange)} picture(s) outside of the class folders of "
            f"{printable(train)}, such as "
            f"{printable(strange[0])}; sort them into folders of the same names, or hold out a "
            "share of the others: "
            f"data.val={printable(train.name)} data.train={printable(train.name)}"
        )
    files = Files(
        [str(train / path) for path in train_paths]
        + [str(val / path) for path in val_paths if val],
        [number[_folder(path)] if classes else -1 for path in train_paths + val_paths],
        reading,
    )
    names = [printable(name) for name in classes]
    said = _said(beside + beside_val, learned.others + judged.others)
    if val:
        chosen = torch.arange(len(files))
        return Listing(files, chosen[: len(train_paths)], chosen[len(train_paths) :], names, said)
    parts = (
        all_held_out(len(files))
        if only_judged and held_out is None
        else hold_out(len(files), held_out)
    )
    return Listing(files, *parts, names, said)


def _without_stray(paths: list[str], classes: bool) -> tuple[list[str], list[str]]:
    """Pictures in class folders and, where there are some but fewer of them, those beside."""
    stray = [path for path in paths if not _folder(path)] if classes else []
    return (
        (paths, [])
        if 2 * len(stray) >= len(paths)
        else ([path for path in paths if _folder(path) or not classes], stray)
    )


def _said(stray: Sequence[str], others: Counter[str]) -> str:
    parts = []
    if stray:
        parts.append(
            f"{len(stray):,} picture(s) beside the class folders, such as {printable(stray[0])}"
        )
    if others:
        parts.append(counted(others))
    return "; ".join(parts)


def list_folders(
    folders: Folders, held_out: float | None, reading: Reading, only_judged: bool = False
) -> Listing:
    """The pictures of folders whose parts are known."""
    return list_pictures(folders.train, folders.val, held_out, reading, folders.apart, only_judged)
