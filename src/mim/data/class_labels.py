"""Classes of pictures by what a column of a table says of each."""

import math
import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mim.data.columns import NONE, Parts
from mim.plain import printable

MOST_CLASSES = 2**18
"""A head has a row for each; ImageNet-21k has 21,841."""


def classes_of(
    values: Sequence[object], parts: Parts, where: Callable[[int], str], known: Sequence[str] = ()
) -> tuple[list[str], Tensor]:
    """Classes by name, and labels (N,), -1 where there are none: whole numbers are their own, words
    are sorted.

    Args:
        values: N labels: words, whole numbers, or nothing (None, an empty word, -1).
        parts: which rows are for what; those of others need no label.
        where: says which row it is, for messages.
        known: names of the numbers, where the table says them.

    Raises:
        ValueError: where only some rows have labels, they are measurements, or words that are held
            out alone.
    """
    used = torch.cat([parts.train, parts.val]).unique().tolist()
    without = [row for row in used if _is_nothing(values[row])]
    if len(without) == len(used):
        return [], torch.full((len(values),), -1)
    if without:
        raise ValueError(
            f"{len(without):,} of {len(used):,} rows have no label, such as {where(without[0])}; "
            f"write them, leave the rows out, or train without labels: data.label_column={NONE}"
        )
    texts = {row: str(values[row]).strip() for row in used}
    if all(re.fullmatch("[0-9]{1,12}", text) for text in texts.values()):
        return _numbered({row: int(text) for row, text in texts.items()}, len(values), where, known)
    measured = [row for row, text in texts.items() if _is_measured(text)]
    if len(measured) == len(used):
        raise ValueError(
            f"the label of {where(measured[0])} is {printable(texts[measured[0]], 60)}, a "
            "measurement and no class; choose another "
            f"column, or data.label_column={NONE}"
        )
    names = sorted({texts[row] for row in parts.train.tolist()})
    number = {name: label for label, name in enumerate(names)}
    strange = [row for row in parts.val.tolist() if texts[row] not in number]
    if strange:
        raise ValueError(
            f"{len(strange):,} rows that are held out have classes that no training row has, such "
            f"as {where(strange[0])}: "
            f"{printable(texts[strange[0]], 60)}; hold out others, data.val=, or a share of all, "
            f"data.split_column={NONE}"
        )
    label = torch.full((len(values),), -1)
    label[used] = torch.tensor([number[texts[row]] for row in used])
    return [printable(name) for name in names], label


def _numbered(
    number: dict[int, int], count: int, where: Callable[[int], str], known: Sequence[str]
) -> tuple[list[str], Tensor]:
    last = max(number, key=lambda row: number[row])
    if number[last] >= (len(known) or MOST_CLASSES):
        raise ValueError(
            f"the label of {where(last)} is class {number[last]:,}; at most "
            f"{(len(known) or MOST_CLASSES) - 1:,} is read"
        )
    label = torch.full((count,), -1)
    label[list(number)] = torch.tensor(list(number.values()))
    names = [printable(name) for name in known] or [str(each) for each in range(number[last] + 1)]
    return names, label


def _is_nothing(value: object) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or str(value).strip() in ("", "-1")


def _is_measured(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
