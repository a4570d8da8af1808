"""Columns of a table: which holds what, and which rows are trained on or held out."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mim.data.folders import role
from mim.data.listing import hold_out
from mim.plain import printable

PATHS = (
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "image",
    "img",
    "image_path",
    "image_id",
    "id_code",
    "id",
)
"""Names of a column of files, in lower case, in the order in which they are looked for."""
LABELS = ("label", "labels", "class", "target", "category", "diagnosis", "class_id")
"""Names of a column of classes."""
SPLITS = ("split", "set", "subset", "partition", "fold")
"""Names of a column that says what a row is for."""
NONE = "none"
"""What is said where no column is wanted."""


class Parts(NamedTuple):
    """Which rows are for what."""

    train: Tensor
    """(N,) numbers of the rows to train on."""
    val: Tensor
    """(M,) numbers of the rows held out."""
    words: str
    """What is what, in one line."""


def named_column(
    setting: str, given: str | None, columns: Sequence[str], known: Sequence[str]
) -> str | None:
    """The column that is asked for, or the only one whose name says what it is; None where there is
    none.

    Args:
        setting: that chooses it, for messages.
        given: its name, `none` for no column, or None for the one that has a known name.
        columns: of the table.
        known: names in lower case, the likeliest first.

    Raises:
        ValueError: where there is none of that name, or there are several.
    """
    listed = ", ".join(printable(name, 60) for name in columns[:20]) + (
        ", ..." if len(columns) > 20 else ""
    )
    if given is not None:
        if given != NONE and given not in columns:
            raise ValueError(
                f"data.{setting}={printable(given, 60)} is no column of the table; it has {listed}"
            )
        return None if given == NONE else given
    exact = [name for word in known for name in columns if name.lower() == word]
    within = [
        name for name in columns if any(re.search(rf"(^|_){word}$", name.lower()) for word in known)
    ]
    found = exact[:1] if setting == "path_column" and exact else exact or within
    if len(found) > 1:
        raise ValueError(
            f"the table has {len(found)} columns that data.{setting} may mean: "
            f"{', '.join(map(printable, found))}; choose one, "
            f"data.{setting}={printable(found[0], 60)}, or none"
        )
    return found[0] if found else None


def parts_of(
    names: Sequence[str],
    code: Tensor,
    train: str | None = None,
    val: str | None = None,
    held_out: float | None = None,
    only_judged: bool = False,
) -> Parts:
    """Rows to train on and to hold out, by what a column says.

    Args:
        names: what it says, each once; one where it says nothing.
        code: (N,) which of the names a row has.
        train: name of the rows to train on; None for the one whose word says so, or for all but
            those held out.
        val: name of the rows to hold out; None for the one whose word says so, else a share is held
            out.
        held_out: that share, always the same rows; None for a tenth.
        only_judged: nothing is learned from the others: where nothing is held out, all are judged.

    Raises:
        ValueError: where a name is none of the table's, or nothing says which rows are for
            training.
    """
    for setting, name in (("train", train), ("val", val)):
        if name is not None and name not in names:
            raise ValueError(
                f"data.{setting}={printable(name, 60)} is no part of the table; it has "
                f"{_list(names)}"
            )
    by_role = {
        part: [name for name in names if role(name) == part] for part in ("train", "val", "test")
    }
    held = val if val is not None else _only(by_role["val"] or by_role["test"], "val")
    learned = train if train is not None else _only(by_role["train"], "train")
    if only_judged and train is None and held is not None:
        rows = _rows(code, names, [held])
        return Parts(rows, rows, f"{printable(held)} is judged" + _unused(names, [held]))
    if learned is None and val is None and len(names) > 1:
        raise ValueError(
            f"the parts of the table are {_list(names)}, and none says that it is for training; "
            "name it, data.train="
            f"{printable(names[0], 60)}, or what is held out, data.val={printable(names[-1], 60)}"
        )
    others = [name for name in names if name != held and name not in by_role["test"]]
    used = [learned] if learned is not None else others or list(names)
    rows = _rows(code, names, used)
    said = ", ".join(printable(name, 60) for name in used[:4]) + (", .." if len(used) > 4 else "")
    said = said if any(used) else "the table"
    if held is not None and [held] != used:
        held_rows = _rows(code, names, [held])
        words = f"{said} is trained on, {printable(held, 60)} is held out" + _unused(
            names, [*used, held]
        )
        return Parts(rows, held_rows, words)
    if only_judged and held_out is None:
        return Parts(rows, rows, f"{said} is judged" + _unused(names, used))
    learned_rows, held_rows = (rows[part] for part in hold_out(len(rows), held_out))
    return Parts(
        learned_rows,
        held_rows,
        f"{said} is trained on, a share of it is held out" + _unused(names, used),
    )


def _rows(code: Tensor, names: Sequence[str], chosen: Sequence[str]) -> Tensor:
    numbers = torch.tensor([number for number, name in enumerate(names) if name in chosen])
    return torch.isin(code, numbers).nonzero()[:, 0]


def _only(names: Sequence[str], setting: str) -> str | None:
    """The only name of a role, or the one that is its plain word."""
    plain = [
        name
        for name in names
        if name.lower() in ("train", "training", "val", "valid", "validation", "test")
    ]
    if len(names) > 1 and len(plain) != 1:
        raise ValueError(
            f"the parts {_list(names)} may all be meant; say which one: "
            f"data.{setting}={printable(names[0], 60)}"
        )
    return (plain or list(names))[0] if names else None


def _unused(names: Sequence[str], used: Sequence[str]) -> str:
    left = [name for name in names if name not in used]
    return f"; not used: {_list(left)}" if left else ""


def _list(names: Sequence[str]) -> str:
    return ", ".join(printable(name or "(empty)", 60) for name in names[:8]) + (
        ", ..." if len(names) > 8 else ""
    )
