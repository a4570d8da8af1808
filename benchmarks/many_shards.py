"""A billion images in shards, simulated: what a listing, an order and a read take where nothing is
kept of each image.

    python benchmarks/many_shards.py
    python benchmarks/many_shards.py --images 1000000000 --shards 1000

Shards are sparse files, so a thousand of them of many gigabytes take no room: a place in them can
be sought, and what is read there is zeros. The order of an epoch is a
keyed permutation that is computed place by place (a Feistel network with cycle walking), where a
list of a billion numbers would take 8 GB. `mim` itself keeps an index of every image;
docs/scaling.md says what that takes.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MIX = np.uint64(0x9E3779B97F4A7C15)
ROUNDS = 4


class Order:
    """Order of N images in an epoch: any place of it is computed alone, in constant memory.

    Args:
        count: N.
        seed: of the order.
        epoch: whose order it is.
    """

    def __init__(self, count: int, seed: int, epoch: int):
        if count < 1:
            raise ValueError(f"Order got count={count}; needs at least 1 image")
        self.count = count
        self.half = np.uint64(max(1, (max(1, count - 1).bit_length() + 1) // 2))
        self.mask = np.uint64((1 << int(self.half)) - 1)
        draw = np.random.default_rng([seed, epoch])
        self.keys = draw.integers(0, 2**63, ROUNDS, dtype=np.uint64)

    def __call__(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places (B,) in the epoch -> images (B,): each of 0..N-1 stands at one place."""
        value = self._once(place.astype(np.uint64))
        while (outside := value >= self.count).any():  # less than three rounds on average
            value[outside] = self._once(value[outside])
        return value.astype(np.int64)

    def _once(self, value: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = value >> self.half, value & self.mask
        for key in self.keys:
            with np.errstate(over="ignore"):
                mixed = (right + key) * MIX
                mixed = (mixed ^ (mixed >> np.uint64(29))) * MIX
            left, right = right, left ^ ((mixed >> np.uint64(32)) & self.mask)
        return (left << self.half) | right


class Shards:
    """Sparse files that stand for tar files of pictures of one size.

    Args:
        folder: where they are made.
        shards: how many.
        images: in all of them.
        size: bytes of a picture.
    """

    def __init__(self, folder: Path, shards: int, images: int, size: int):
        self.each, self.size, self.folder = -(-images // shards), size, folder
        for number in range(shards):
            with (folder / self.name(number)).open("wb") as file:
                file.truncate(self.each * size)

    @staticmethod
    def name(number: int) -> str:
        """Of a shard."""
        return f"images-{number:06d}.tar"

    def place(self, image: int) -> tuple[Path, int]:
        """Shard of an image, and its first byte there."""
        shard, row = divmod(image, self.each)
        return self.folder / self.name(shard), row * self.size

    def read(self, image: int) -> bytes:
        """Bytes of an image."""
        shard, offset = self.place(image)
        with shard.open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read(self.size)


def memory_of_index(images: int, name: int) -> int:
    """Bytes that mim's index of shards takes, and the order of an epoch.

    A row holds the shard (4 bytes), offset, size and label (8 each), where its name ends (8), and
    the name; an epoch's order takes 8 more.

    Args:
        images: how many.
        name: bytes of a name.
    """
    return images * (4 + 8 + 8 + 8 + 8 + name + 8)


def resident() -> int:
    """Most bytes that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(argv: list[str] | None = None) -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_000_000_000)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--size", type=int, default=110_000, help="bytes of a picture")
    parser.add_argument(
        "--draws", type=int, default=1_000_000, help="places of the order that are computed"
    )
    parser.add_argument("--reads", type=int, default=1000)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as made:
        start = time.perf_counter()
        shards = Shards(Path(made), args.shards, args.images, args.size)
        making, before = time.perf_counter() - start, resident()
        blocks = sum(
            os.stat(Path(made) / Shards.name(number)).st_blocks * 512
            for number in range(args.shards)
        )
        order, start = Order(args.images, seed=0, epoch=0), time.perf_counter()
        drawn = 0
        for first in range(0, args.draws, 65536):
            drawn += len(order(np.arange(first, min(first + 65536, args.draws))))
        ordering = time.perf_counter() - start
        start = time.perf_counter()
        for image in order(np.arange(args.reads)).tolist():
            assert len(shards.read(image)) == args.size
        reading = time.perf_counter() - start
    print(
        f"{args.images:,} images in {args.shards:,} sparse shards: "
        f"{args.images * args.size / 1e12:.0f} TB that take {blocks:,} bytes"
    )
    print("| what | measured |\n|---|--:|")
    print(f"| making the files | {making:.2f} s |")
    print(f"| order of an image, microseconds | {1e6 * ordering / drawn:.3f} |")
    print(
        "| reading an image of zeros at its place, microseconds | "
        f"{1e6 * reading / args.reads:.0f} |"
    )
    print(f"| memory that order and reads took, MB | {(resident() - before) / 1e6:.1f} |")
    print(
        "| mim's index of them and an order as a list, GB (computed) | "
        f"{memory_of_index(args.images, 13) / 1e9:.1f} |"
    )


if __name__ == "__main__":
    main()
