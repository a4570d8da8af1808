"""Where the pictures of tar files lie, so that each can be read in place."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from mim.data.files import Files
from mim.data.levels import COLOURS, Reading
from mim.data.shard_index import Index
from mim.data.stamp import file_stamp


class Members(Files):
    """Pictures in tar files, numbered.

    Args:
        shards: the tar files.
        index: of their pictures.
        reading: how they become pictures: channels, range, and the largest that is decoded.
    """

    def __init__(self, shards: Sequence[Path], index: Index, reading: Reading = COLOURS):
        names = (os.fsdecode(index.name[number]) for number in range(len(index.name)))
        super().__init__(names, index.label, reading)
        self._shards, self._index = [str(shard) for shard in shards], index

    def path(self, number: int) -> str:
        """The shard and the name in it."""
        return f"{self._shards[self._index.shard[number]]}/{super().path(number)}"

    def stamp(self, number: int) -> str:
        """What changes where a picture does, or another of its shard."""
        return f"{self._shard_stamps[self._index.shard[number]]} {super().path(number)}"

    @cached_property
    def _shard_stamps(self) -> list[str]:
        return [file_stamp(shard) for shard in self._shards]

    def content(self, number: int) -> Tensor:
        """The bytes of a picture, (size,) uint8.

        Raises:
            ValueError: where they are more than any picture has.
        """
        size = int(self._index.size[number])
        self.refuse_long(size)
        content = bytearray(size)
        # straight to its place
        with open(self._shards[self._index.shard[number]], "rb", buffering=0) as file:
            file.seek(int(self._index.offset[number]))
            found = file.readinto(content)
        return torch.frombuffer(content, dtype=torch.uint8)[:found]
