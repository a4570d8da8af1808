"""How fast one core turns JPEGs into training batches: this project's worker path, by decoder,
beside MAE's official recipe.

    python benchmarks/input.py /path/to/pictures

All run in this process on one thread, on the same pictures, in random order; last comes the median
of the ratios of neighbouring runs. The official recipe (facebookresearch/mae, main_pretrain.py) is
ImageFolder's Pillow loader with RandomResizedCrop, flip, ToTensor and Normalize. Ours ends where
the batch leaves the worker: what follows, flip and normalisation, is done by the training device.
"""

import argparse
import random
import statistics
import time
from functools import partial
from pathlib import Path

import torch
from torchvision import transforms
from torchvision.datasets.folder import default_loader

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.pictures import Cropped
from mim.data.files import Files
from mim.data.from_files import FromFiles
from mim.data.jpeg import DECODERS
from mim.data.levels import Decoder, Reading
from mim.data.listing import find_pictures
from mim.data.sampler import OrderedRows


def ours(decoder: Decoder, paths: list[str], image_size: int, batch_size: int) -> None:
    """Read, decode, crop and resize every picture, in whole batches of uint8."""
    files = Files(paths, [-1] * len(paths), Reading(decoder=decoder))
    data = FromFiles(
        files, torch.arange(len(paths)), Cropped(CropFlip(TorchvisionBoxes()), image_size)
    )
    for rows in OrderedRows(len(paths), batch_size, seed=0):
        data[rows]


def official(paths: list[str], image_size: int, batch_size: int) -> None:
    """Read, decode, crop, resize, flip and normalise every picture with Pillow, stacked into
    batches of float32.
    """
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(
                image_size, scale=(0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    for start in range(0, len(paths), batch_size):
        torch.stack([transform(default_loader(path)) for path in paths[start : start + batch_size]])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="pictures, at any depth")
    parser.add_argument("--pictures", type=int, default=500, help="how many of them in each run")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker process

    paths = [str(args.folder / path) for path in find_pictures(args.folder)][: args.pictures]
    recipes = {"official MAE recipe (Pillow)": official}
    recipes |= {f"mim, data.decoder={name}": partial(ours, name) for name in DECODERS}
    seconds: dict[str, list[float]] = {name: [] for name in recipes}
    for run in range(args.runs + 1):
        for name in random.sample(list(recipes), len(recipes)):
            start = time.perf_counter()
            recipes[name](paths, args.image_size, args.batch_size)
            if run:  # the first fills the file cache
                seconds[name].append(time.perf_counter() - start)

    base = seconds["official MAE recipe (Pillow)"]
    print(
        f"| {len(paths)} pictures at {args.image_size} pixels | images per second and core | times "
        "the official |"
    )
    print("|---|---:|---:|")
    for name, spent in seconds.items():
        rate = len(paths) / statistics.median(spent)
        ratio = statistics.median(theirs / own for theirs, own in zip(base, spent, strict=True))
        print(f"| {name} | {rate:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
