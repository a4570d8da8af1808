"""Which folders of a data set are for training and which are held out, under the names that people
give them.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mim.launch.there import no_folder
from mim.plain import printable

_ROLES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "holdout", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "tests", "testing", "tst"), "test"),
}
_BESIDE = {
    "seg",
    "set",
    "sets",
    "split",
    "data",
    "dataset",
    "image",
    "images",
    "img",
    "imgs",
    "jpg",
    "jpeg",
    "png",
}
_NO_PICTURES = {"__macosx", "__pycache__", "#recycle", "lost+found", "system volume information"}
_DEEPEST_WRAPPER = 8


class Folders(NamedTuple):
    """What a data set is made of."""

    train: Path
    val: Path | None
    """None where a share of the training pictures is held out."""
    apart: tuple[Path, ...]
    """Below `train`, and not trained on."""
    words: str
    """What is what, in one line."""


def is_hidden(name: str) -> bool:
    """Whether a folder is a program's and not a person's: `.ipynb_checkpoints`, `__MACOSX`,
    `@eaDir`, `$RECYCLE.BIN`.
    """
    return name.startswith((".", "@", "$")) or name.lower() in _NO_PICTURES


def role(name: str) -> str | None:
    """What a folder's name says that it is for: `train`, `val` or `test`, as `Training`, `seg_test`
    or `valid_images` do.
    """
    if not name.isascii():
        return None
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    words = [word.removesuffix("set") or word for word in words]
    said = {_ROLES[word] for word in words if word in _ROLES}
    others = [
        word for word in words if word not in _ROLES and word not in _BESIDE and len(word) > 1
    ]
    return said.pop() if len(said) == 1 and not others else None


def find_folders(
    root: Path, train: str | None = None, val: str | None = None, only_judged: bool = False
) -> Folders:
    """Folders to train on and to hold out.

    Args:
        root: of the data set.
        train: which is trained on; null for the one whose name says so, and the root where there is
            none.
        val: which is held out, likewise; the same as `train` for a share of it.
        only_judged: nothing is trained, or learned from: the folder for testing is enough.

    Raises:
        FileNotFoundError: where a folder is not there.
        ValueError: where names do not say what is for training, or say that it is for testing.
    """
    if not root.is_dir():
        raise no_folder(root)
    top = root if train or val else _unwrapped(root)
    names = subfolders(top)
    by_role = {
        part: [name for name in names if role(name) == part] for part in ("train", "val", "test")
    }
    chosen_val = _given(top, "val", val) or _one_of(top, by_role["val"] or by_role["test"], "val")
    chosen_train = _given(top, "train", train) or _one_of(top, by_role["train"], "train")
    if only_judged and not train and chosen_val:
        return Folders(
            chosen_val,
            None,
            (),
            f"{_from(root, chosen_val)} is judged" + _unused(top, names, chosen_val),
        )
    if chosen_train and not train and not chosen_val:
        _refuse_class_named_train(top, chosen_train, names)
    if chosen_train is None and chosen_val is not None:
        raise ValueError(
            f"{printable(top)} holds {_list(names)} and none that says that it is for training; "
            "name it with data.train=<folder>, "
            f"or data.train=. for all but {chosen_val.name}/"
        )
    chosen_train = chosen_train or top
    if not only_judged and train != "." and _is_for_testing(chosen_train):
        raise ValueError(
            f"{printable(chosen_train)} says that it is for testing, and nothing is trained on it, "
            "or learned from it; name "
            "another with data.train=<folder>, give the folder that holds both, or rename it"
        )
    if chosen_val == chosen_train:
        chosen_val = None
    if only_judged and not chosen_val:
        unused = _unused(top, names if chosen_train != top else [], chosen_train)
        return Folders(chosen_train, None, (), f"{_from(root, chosen_train)} is judged{unused}")
    tests = [top / name for name in by_role["test"]] if chosen_train == top else []
    apart = tuple(path for path in (chosen_val, *tests) if path and chosen_train in path.parents)
    held_out = (
        f"{_from(root, chosen_val)} is held out" if chosen_val else "a share of it is held out"
    )
    used = (chosen_train, *([chosen_val] if chosen_val else []))
    words = f"{_from(root, chosen_train)} is trained on, {held_out}"
    return Folders(
        chosen_train,
        chosen_val,
        apart,
        words + _unused(top, [n for n in names if chosen_train != top], *used),
    )


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder that a person made, sorted."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name for entry in entries if entry.is_dir() and not is_hidden(entry.name)
        )


def _unwrapped(root: Path) -> Path:
    """The folder that holds the splits, where one folder is wrapped around all of them."""
    folder = root
    for _ in range(_DEEPEST_WRAPPER):
        names = subfolders(folder)
        if any(role(name) for name in names):
            return folder
        if len(names) != 1:
            break
        folder = folder / names[0]
    return root


def _inner(folder: Path) -> Path:
    """As some archives have it: seg_train/seg_train."""
    names = subfolders(folder)
    return (
        folder / names[0]
        if len(names) == 1 and role(names[0]) == role(folder.name) is not None
        else folder
    )


def _given(top: Path, setting: str, name: str | None) -> Path | None:
    if name is None:
        return None
    folder = top if name == "." else top / name
    if not folder.is_dir():
        raise FileNotFoundError(
            f"data.{setting}={printable(name)} is no folder in {printable(top)}; there are: "
            f"{_list(subfolders(top))}"
        )
    return folder


def _one_of(top: Path, names: Sequence[str], setting: str) -> Path | None:
    """The only folder of a role, or the one that has its plain name."""
    plain = [name for name in names if name.lower() in _ROLES]
    if len(names) > 1 and len(plain) != 1:
        raise ValueError(
            f"{printable(top)} holds {_list(names)}; say which one it is: "
            f"data.{setting}={printable(names[0])}"
        )
    return _inner(top / (plain or names)[0]) if names else None


def _refuse_class_named_train(top: Path, train: Path, names: Sequence[str]) -> None:
    """Among folders of boats and planes, one of trains is a class."""
    others = [name for name in names if top / name != train and any((top / name).iterdir())]
    if others and train == top / train.name and not subfolders(train):
        raise ValueError(
            f"{printable(top)} holds {_list([train.name, *others])}: is {train.name}/ a class, or "
            "for training? "
            f"data.train=. takes all as classes, data.train={train.name} trains on {train.name}/ "
            "alone"
        )


def _is_for_testing(folder: Path) -> bool:
    return role(folder.name) == "test" and not folder.name[-1].isdigit()


def _unused(top: Path, names: Sequence[str], *used: Path) -> str:
    left = [name for name in names if not any(top / name in (path, *path.parents) for path in used)]
    return f"; not used: {_list(left)}" if left else ""


def _from(root: Path, folder: Path) -> str:
    return printable(
        folder
        if folder == root
        else f"{folder.relative_to(root) if root in folder.parents else folder}/"
    )


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f"{printable(name)}/" for name in names[:6])
    return (
        shown + (f" and {len(names) - 6} more" if len(names) > 6 else "") if names else "no folders"
    )
