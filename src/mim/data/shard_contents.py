"""Contents of one shard: its pictures, their labels, and what is not looked at."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mim.data.formats import suffixes
from mim.data.listing import counted
from mim.data.shard_labels import CLASS_KEYS, NO_LABEL, label_in_json, label_of
from mim.data.tar import Member, members
from mim.plain import printable, refuse_special


class Contents(NamedTuple):
    """What lies in one shard."""

    pictures: list[tuple[bytes, int, int, int | str]]
    """Name, offset, size, and class, by number or word."""
    further: list[str]
    """Pictures of samples that have one already."""
    without_class: list[str]
    """`.json` beside pictures that have no class, neither there nor elsewhere."""
    others: Counter[str]
    """What is neither, by extension."""


def contents_of(shard: Path) -> Contents:
    """The pictures of one shard; members of one sample share their name up to the first dot."""
    pictures: dict[str, Member] = {}
    named: dict[str, Member] = {}  # 0001.image.jpg, which is the picture where there is no 0001.jpg
    further: list[Member] = []
    labels: dict[str, int | str] = {}
    described: dict[str, Member] = {}
    others = Counter[str]()
    try:
        refuse_special(shard)
        with shard.open("rb") as stream:
            for member in members(stream):
                folder, _, base = os.fsdecode(member.name).rpartition("/")
                stem, extension = _split(base)
                sample, suffix = f"{folder}/{stem}", os.path.splitext(base)[1].lower()
                if suffix in suffixes():
                    known = pictures if suffix == f".{extension.lower()}" else named
                    if sample in known:
                        further.append(member)
                    known.setdefault(sample, member)
                elif extension == "cls":
                    labels[sample] = label_of(stream, member)
                elif extension == "json":
                    described[sample] = member
                else:
                    others[suffix or "without a suffix"] += 1
            for sample, member in described.items():
                alone = (sample in pictures or sample in named) and sample not in labels
                label = label_in_json(stream, member) if alone else None
                if label is not None:
                    labels[sample] = label
    except ValueError as error:
        raise ValueError(
            f"{printable(shard)} is no shard that can be read in place ({error}); it has to be a "
            "plain .tar file, not "
            "compressed, with a picture and its class as a number or a word, e.g. 0001.jpg and "
            "0001.cls; copy it again if it is damaged"
        ) from error
    chosen = named | pictures
    further += [named[sample] for sample in named if sample in pictures]
    return Contents(
        [(*where, labels.get(sample, NO_LABEL)) for sample, where in chosen.items()],
        [os.fsdecode(member.name) for member in further],
        [
            os.fsdecode(described[sample].name)
            for sample in described
            if sample in chosen and sample not in labels
        ],
        others,
    )


def left_out_of(found: Iterable[Contents]) -> str:
    """What is not looked at, in one line."""
    further, without = (
        [name for each in found for name in each.further],
        [n for each in found for n in each.without_class],
    )
    parts = []
    if without:
        keys = f"{', '.join(CLASS_KEYS[:-1])} or {CLASS_KEYS[-1]}"
        parts.append(
            f"{len(without):,} .json without a class ({keys}), such as {printable(without[0], 100)}"
        )
    if further:
        parts.append(
            f"{len(further):,} further picture(s) of a sample, such as {printable(further[0], 100)}"
        )
    others = sum((each.others for each in found), Counter[str]())
    return "; ".join([*parts, *([counted(others)] if others else [])])


def _split(base: str) -> tuple[str, str]:
    """A name -> key and extension: it is cut at the first dot, but what begins with a digit
    (img.0001.jpg) is of the key.
    """
    parts = base.split(".")
    last = max((i for i in range(1, len(parts) - 1) if parts[i][:1].isdigit()), default=0)
    return ".".join(parts[: last + 1]), ".".join(parts[last + 1 :])
