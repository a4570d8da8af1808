"""Classes of the pictures of tar files: a `.cls` beside each, or what its `.json` names."""

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mim.data.tar import Member
from mim.plain import parse_json, printable

NO_LABEL = -1
MOST_CLASSES = 2**18  # a head, a name and a count for each; ImageNet-21k has 21,841
LONGEST_WORD = 200  # characters of the name of a class
LONGEST_CLS = 1024  # bytes
LONGEST_JSON = 2**20  # bytes of what stands beside a picture; of a longer one nothing is read
CLASS_KEYS = ("label", "cls", "class", "class_id", "target")
"""Where the class of a picture is looked for in its `.json`, in this order."""


def label_of(stream: BinaryIO, member: Member) -> int | str:
    """The number or the word in a member."""
    if member.size > LONGEST_CLS:
        raise ValueError(
            f"the class in {_name(member)} has {member.size:,} bytes, no whole number from 0 on "
            "and no word"
        )
    stream.seek(member.offset)
    return _class(stream.read(member.size).decode("utf-8-sig", "replace"), member)


def label_in_json(stream: BinaryIO, member: Member) -> int | str | None:
    """The class that a `.json` names; None where it names none, or is no JSON that is read."""
    if member.size > LONGEST_JSON:
        return None
    stream.seek(member.offset)
    try:
        content = parse_json(stream.read(member.size), "")
    except ValueError:
        return None
    said = content if isinstance(content, dict) else {}
    value = next((said[key] for key in CLASS_KEYS if said.get(key) not in (None, "")), None)
    return None if value is None else _class(value, member)


def numbered(
    classes: Sequence[int | str], where: Callable[[int], str]
) -> tuple[NDArray[np.int64], list[str]]:
    """Labels (N,), -1 where there are none, and the words that they number, sorted; no words where
    classes are numbers.

    Args:
        classes: of N pictures: numbers, words, or `NO_LABEL`.
        where: says which picture it is, for messages.

    Raises:
        ValueError: where some are words and others numbers, or words are too many.
    """
    words = sorted({each for each in classes if isinstance(each, str)})
    if not words:
        return np.array(classes, np.int64), []
    numbers = (i for i, each in enumerate(classes) if isinstance(each, int) and each != NO_LABEL)
    if (other := next(numbers, None)) is not None:
        word = next(i for i, each in enumerate(classes) if isinstance(each, str))
        raise ValueError(
            f"the class of {where(word)} is {_shown(classes[word])} and that of {where(other)} is "
            f"{classes[other]}; write words for all pictures, or numbers"
        )
    if len(words) > MOST_CLASSES:
        raise ValueError(
            f"there are {len(words):,} classes; at most {MOST_CLASSES:,} are told apart"
        )
    number: dict[int | str, int] = {word: label for label, word in enumerate(words)}
    return np.array([number.get(each, NO_LABEL) for each in classes], np.int64), words


def _class(value: object, member: Member) -> int | str:
    """A class that a member names, within bounds."""
    if isinstance(value, str):
        value = value.strip()
        if re.fullmatch("[0-9]{1,30}", value):
            value = int(value)
        elif _is_word(value):
            return sys.intern(value)
    if type(value) is not int or value < 0:
        raise ValueError(
            f"the class in {_name(member)} is {_shown(value)}, no whole number from 0 on and no "
            f"word of at most {LONGEST_WORD} characters"
        )
    if value >= MOST_CLASSES:
        raise ValueError(
            f"{_name(member)} says class {value:,}; at most {MOST_CLASSES:,} classes are told apart"
        )
    return value


def _is_word(text: str) -> bool:
    """Whether it names a class: it is no measurement, and not what is left of bytes that are no
    text.
    """
    if not 0 < len(text) <= LONGEST_WORD or "\ufffd" in text:
        return False
    try:
        float(text)
    except ValueError:
        return True
    return text.isalpha()  # nan and infinity


def _shown(value: object) -> str:
    return (
        f"'{printable(value, 40)}'" if isinstance(value, str) else printable(json.dumps(value), 40)
    )


def _name(member: Member) -> str:
    return printable(os.fsdecode(member.name), 60)
