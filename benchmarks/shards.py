"""What reading pictures from shards costs beside bytes that are in memory already, on the way of a
worker process.

    python -m mim shards /path/to/pictures --size 256 --out /path/to/shards
    python benchmarks/shards.py /path/to/shards

Read, decode, crop and resize to 224 pixels on one thread, the same pictures in the same random
order, one way after the other; the median of the ratios of neighbouring runs comes last. The first
run fills the file cache and does not count.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.pictures import Cropped
from mim.data.from_files import FromFiles
from mim.data.sampler import OrderedRows
from mim.data.shard_index import index_of
from mim.data.shards import Members


class InMemory(Members):
    """Members whose bytes have been read."""

    kept: dict[int, Tensor]

    def content(self, number: int) -> Tensor:
        return self.kept[number]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path, help="folder of the shards")
    parser.add_argument("--pictures", type=int, default=200, help="how many of them in each run")
    parser.add_argument("--runs", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)

    paths = sorted(args.shards.glob("*.tar"))
    index = index_of(paths)
    ways = {"memory": InMemory(paths, index), "shards": Members(paths, index)}
    numbers = torch.randperm(len(index.size), generator=torch.Generator().manual_seed(0))[
        : args.pictures
    ]
    ways["memory"].kept = {number: ways["shards"].content(number) for number in numbers.tolist()}
    cut = Cropped(CropFlip(TorchvisionBoxes()), 224)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(args.runs + 1):
        for name, files in ways.items():
            data = FromFiles(files, numbers, cut)
            start = time.process_time()
            for rows in OrderedRows(len(numbers), 50, seed=0):
                data[rows]
            if run:
                seconds[name].append(time.process_time() - start)
    print("| bytes from | processor time a picture, ms | times memory |")
    print("|---|---:|---:|")
    for name, spent in seconds.items():
        ratio = statistics.median(
            own / base for own, base in zip(spent, seconds["memory"], strict=True)
        )
        print(f"| {name} | {statistics.median(spent) / len(numbers) * 1e3:.2f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
