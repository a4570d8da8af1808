"""One training step of ViTDet beside torchvision's Mask R-CNN of a ResNet-50, as a yardstick: the
models and their losses differ.

    python benchmarks/detect.py --encoder vit_base --image 512 --batch 1 --rounds 5
    python benchmarks/detect.py --encoder vit_base --image 1024 --batch 4 --precision bf16  # a GPU
    python benchmarks/detect.py --encoder vit_tiny --image 128 --rounds 1  # does it run

Both see the same scenes of scattered digits, with 80 categories, and take forward, backward and
AdamW. Within a round each takes one step in an order drawn anew, so that whatever else the computer
is doing cancels; on a CPU, time is that of all its cores together, which other programs take little
from. Memory is that of a process of its own: on a GPU what was allocated at most, on a CPU what was
resident at most beyond the imports.
"""

import argparse
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torchvision.models.detection import maskrcnn_resnet50_fpn_v2

import mim
from mim.augment.jitter import Jitter
from mim.augment.no_augment import NoAugment
from mim.data.scattered_digits import ScatteredDigits
from mim.dense import DenseBatch

CATEGORIES = 80
OURS, THEIRS = "ViTDet", "torchvision's maskrcnn_resnet50_fpn_v2"


def scenes(args: argparse.Namespace) -> DenseBatch:
    """A batch of scenes with objects, on the device."""
    data = ScatteredDigits(
        NoAugment(), Jitter((1.0, 1.0), 0.0), args.image, args.batch, args.batch, 1
    )
    data.learn_from("objects")
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())))
    device = torch.device(args.device)
    objects = tuple(type(one)(*(column.to(device) for column in one)) for one in batch.objects)
    return batch._replace(
        image=batch.image.to(device), objects=objects, size=batch.size, key=batch.key.to(device)
    )


def vitdet(args: argparse.Namespace, batch: DenseBatch) -> tuple[nn.Module, Callable[[], Tensor]]:
    """Ours as `task=detect` builds it."""
    given = (
        "task=detect",
        "data=coco",
        f"encoder={args.encoder}",
        "encoder.image_size=224",
        f"data.image_size={args.image}",
    )
    model = instantiate(mim.compose(*given).task.model)(num_classes=CATEGORIES).to(args.device)
    return model, lambda: sum(
        model.losses(batch).values(), start=torch.zeros((), device=args.device)
    )


def resnet(args: argparse.Namespace, batch: DenseBatch) -> tuple[nn.Module, Callable[[], Tensor]]:
    """torchvision's, which resizes and normalises by itself: it is told the size that images
    have.
    """
    model = maskrcnn_resnet50_fpn_v2(
        weights=None,
        weights_backbone=None,
        num_classes=CATEGORIES + 1,
        min_size=args.image,
        max_size=args.image,
    ).to(args.device)
    targets = [
        {"boxes": o.box, "labels": o.category + 1, "masks": o.mask.byte()} for o in batch.objects
    ]
    images = list(batch.image.sigmoid())
    return model, lambda: sum(
        model(images, targets).values(), start=torch.zeros((), device=args.device)
    )


MAKE = {OURS: vitdet, THEIRS: resnet}


def step_of(
    name: str, args: argparse.Namespace, batch: DenseBatch
) -> tuple[int, Callable[[], float]]:
    """Number of parameters, and a function that takes a step and tells its seconds, those of the
    processor on a CPU.
    """
    clock = time.perf_counter if args.device == "cuda" else time.process_time
    torch.manual_seed(0)
    model, loss_of = MAKE[name](args, batch)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)
    half: Callable[[], AbstractContextManager] = partial(
        torch.autocast, args.device, torch.bfloat16
    )
    autocast = half if args.precision == "bf16" else nullcontext

    def step() -> float:
        synchronise(args)
        start = clock()
        with autocast():
            loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        synchronise(args)
        return clock() - start

    return sum(p.numel() for p in model.parameters()), step


def synchronise(args: argparse.Namespace) -> None:
    """Wait for the GPU, where there is one."""
    if args.device == "cuda":
        torch.cuda.synchronize()


def memory(args: argparse.Namespace) -> float:
    """GiB that were in use at most."""
    if args.device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    status = Path("/proc/self/status").read_text()  # getrusage has what the parent had at most, too
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def main() -> None:
    """Time both, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="vit_base")
    parser.add_argument("--image", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    parser.add_argument(
        "--only", choices=list(MAKE), help="take two steps of one, and print the GiB that they took"
    )
    args = parser.parse_args()
    args.device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = scenes(args)
    if args.only:
        before = memory(args)
        _, step = step_of(args.only, args, batch)
        step(), step()
        print(memory(args) - (before if args.device == "cpu" else 0))
        return
    made = {name: step_of(name, args, batch) for name in MAKE}
    seconds: dict[str, list[float]] = {name: [] for name in MAKE}
    for number in range(args.rounds + 1):
        for name in random.Random(number).sample(sorted(MAKE), len(MAKE)):
            taken = made[name][1]()
            if number:  # the first warms up
                seconds[name].append(taken)
    where = f"{args.device}, {torch.get_num_threads()} thread(s)"
    print(f"{args.encoder}, {args.image} pixels, batch {args.batch}, {args.precision}, {where}\n")
    print("| | parameters | ms / step | time over ours | GiB |\n|---|--:|--:|--:|--:|")
    for name, (parameters, _) in made.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[name], seconds[OURS], strict=True))
        print(
            f"| {name} | {parameters:,} | {1000 * statistics.median(seconds[name]):.0f} | "
            f"{ratio:.2f} | {_alone(name):.1f} |"
        )


def _alone(name: str) -> float:
    """GiB of a process that takes steps of one model only."""
    said = subprocess.run(
        [sys.executable, *sys.argv, "--only", name], capture_output=True, text=True, check=True
    )
    return float(said.stdout.split()[-1])


if __name__ == "__main__":
    main()
