"""Classes of the pictures of tar files: a `.cls` beside each, or what its `.json` names."""

import json
import os
import re
from typing import BinaryIO

from mim.data.tar import Member
from mim.plain import parse_json, printable

NO_LABEL = -1
MOST_CLASSES = 2**18  # a head, a name and a count for each; ImageNet-21k has 21,841
LONGEST_JSON = 2**20  # bytes of what stands beside a picture; of a longer one nothing is read
CLASS_KEYS = ("label", "cls", "class", "class_id", "target")
"""Where the class of a picture is looked for in its `.json`, in this order."""


def label_of(stream: BinaryIO, member: Member) -> int:
    """The number in a member."""
    stream.seek(member.offset)
    content = stream.read(min(member.size, 32)).strip()
    whole = re.fullmatch(b"[0-9]{1,30}", content) is not None and member.size <= 32
    return _class(int(content) if whole else content.decode("latin-1"), member)


def label_in_json(stream: BinaryIO, member: Member) -> int | None:
    """The class that a `.json` names; None where it names none, or is no JSON that is read."""
    if member.size > LONGEST_JSON:
        return None
    stream.seek(member.offset)
    try:
        content = parse_json(stream.read(member.size), "")
    except ValueError:
        return None
    said = content if isinstance(content, dict) else {}
    value = next((said[key] for key in CLASS_KEYS if said.get(key) is not None), None)
    digits = isinstance(value, str) and re.fullmatch("[0-9]{1,30}", value) is not None
    return None if value is None else _class(int(value) if digits else value, member)


def _class(value: object, member: Member) -> int:
    """A class that a member names, within bounds."""
    name = printable(os.fsdecode(member.name), 60)
    if type(value) is not int or value < 0:
        shown = (
            f"'{printable(value, 40)}'"
            if isinstance(value, str)
            else printable(json.dumps(value), 40)
        )
        raise ValueError(f"the class in {name} is {shown}, no whole number from 0 on")
    if value >= MOST_CLASSES:
        raise ValueError(
            f"{name} says class {value:,}; at most {MOST_CLASSES:,} classes are told apart"
        )
    return value
