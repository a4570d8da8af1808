"""Where the members of a tar file lie, read strictly: what Python's own reader takes for the end is
named as damage.

Headers as POSIX.1-1988 (ustar), POSIX.1-2001 (pax) and GNU have them. Every size has a bound, and a
file has to end where its end is marked.
"""

import os
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = 512
# bytes, of a path and of a header that extends another
LONGEST_NAME, LONGEST_RECORDS = 2**12, 2**20
LONGEST_END = 2**20  # bytes of zeros; tar writes 10,240
_FILE, _NO_DATA, _GNU_NAME, _GNU_LINK, _OF_NEXT, _OF_ALL = (
    b"0\07",
    b"123456",
    b"L",
    b"K",
    b"xX",
    b"g",
)
_OTHER = {b"S": "sparse", b"M": "split over volumes", b"D": "a list of a backup"}


class Member(NamedTuple):
    """A file in a tar file."""

    name: bytes
    offset: int
    """Of its first byte."""
    size: int
    """In bytes."""


def members(stream: BinaryIO) -> Iterator[Member]:
    """The files in a tar file, in their order; between two of them the stream may be read
    elsewhere.

    Raises:
        ValueError: where it is no tar file that can be read in place, is damaged or cut off, or
            holds what is no whole file.
    """
    return _Reader(stream, os.fstat(stream.fileno()).st_size).members()


class _Reader:
    """One pass over the headers."""

    def __init__(self, stream: BinaryIO, size: int):
        self.stream, self.size = stream, size
        self.at = 0

    def members(self) -> Iterator[Member]:
        name, size = None, None  # of the next member, where a header before it says so
        while header := self._header():
            kind, length = header[156:157], self._number(header[124:136])
            if kind in _OTHER:
                raise ValueError(f"a member is {_OTHER[kind]}")
            if kind in _GNU_NAME + _GNU_LINK:
                said = self._read(length, LONGEST_NAME + 1).rstrip(b"\0")
                name = said if kind == _GNU_NAME else name
                continue
            if kind in _OF_NEXT + _OF_ALL:
                records = _records(self._read(length, LONGEST_RECORDS))
                if kind in _OF_NEXT:
                    name, size = records.get(b"path", name), _whole(records.get(b"size"))
                continue
            length = 0 if kind in _NO_DATA else length if size is None else size
            if self.at + length > self.size:
                raise ValueError(f"a member of {length:,} bytes ends behind the file")
            if kind in _FILE:
                yield Member(self._name(header) if name is None else _short(name), self.at, length)
            self._skip(length)
            name, size = None, None

    def _header(self) -> bytes | None:
        """The next header, or None at the end."""
        header = self._block()
        if not header.strip(b"\0"):
            self._check_end()
            return None
        told = header[148:156].strip(b" \0")
        if re.fullmatch(b"[0-7]+", told) is None or int(told, 8) != sum(
            header[:148]
        ) + 8 * 32 + sum(header[156:]):
            raise ValueError(
                f"the header at byte {self.at - BLOCK:,} is damaged, or of no tar file"
            )
        return header

    def _check_end(self) -> None:
        """After the first block of zeros nothing may come but zeros."""
        left = self.size - self.at
        if left > LONGEST_END or self.stream.read(left).strip(b"\0"):
            raise ValueError(
                f"its end is marked at byte {self.at - BLOCK:,}, and {left:,} bytes follow: it is "
                "damaged"
            )

    def _name(self, header: bytes) -> bytes:
        name, magic, prefix = (
            header[:100].partition(b"\0")[0],
            header[257:263],
            header[345:500].partition(b"\0")[0],
        )
        return prefix + b"/" + name if magic == b"ustar\0" and prefix else name

    def _number(self, field: bytes) -> int:
        if field[0] == 0x80:  # GNU's, of more than 8 GiB
            return int.from_bytes(field[1:], "big")
        digits = field.strip(b" \0")
        if re.fullmatch(b"[0-7]*", digits) is None:
            raise ValueError(f"the header at byte {self.at - BLOCK:,} has a size that is no number")
        return int(digits or b"0", 8)

    def _read(self, length: int, most: int) -> bytes:
        """Content of a header that is a member itself."""
        if length > most:
            raise ValueError(f"a header of {length:,} bytes; at most {most:,} are read")
        content = self.stream.read(length)
        self.at += length
        self._skip(0)
        return content

    def _skip(self, length: int) -> None:
        """Go past so many bytes, and on to the next block."""
        self.at += length
        self.at += -self.at % BLOCK

    def _block(self) -> bytes:
        self.stream.seek(self.at)
        block = self.stream.read(BLOCK)
        if len(block) < BLOCK:
            raise ValueError(
                f"it is cut off after {self.at + len(block):,} bytes: its end is not marked"
            )
        self.at += BLOCK
        return block


def _records(content: bytes) -> dict[bytes, bytes]:
    """Of `<length> <key>=<value>`, the length counted whole, one after another."""
    found, at = {}, 0
    while at < len(content) and content[at]:
        digits, space, _ = content[at : at + 12].partition(b" ")
        if re.fullmatch(b"[1-9][0-9]*", digits) is None or not space:
            raise ValueError("a pax header is damaged")
        record = content[at : at + int(digits)]
        key, equals, value = record[len(digits) + 1 :].partition(b"=")
        if len(record) < int(digits) or not equals or not value.endswith(b"\n"):
            raise ValueError("a pax header is damaged")
        if key.startswith(b"GNU.sparse"):
            raise ValueError("a member is sparse")
        found[key] = value[:-1]
        at += int(digits)
    return found


def _whole(value: bytes | None) -> int | None:
    if value is not None and re.fullmatch(b"[0-9]{1,18}", value) is None:
        raise ValueError("a pax header has a size that is no number")
    return None if value is None else int(value)


def _short(name: bytes) -> bytes:
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a name of {len(name):,} bytes; at most {LONGEST_NAME:,} are read")
    return name
