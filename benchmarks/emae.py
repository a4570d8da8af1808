"""What K parallel parts cost beside K separate MAE steps, and what the consistency loss adds.

    python benchmarks/emae.py --encoder tiny --image 64 --patch 8 --batch 32 --parts 4

Everyone has the same weights, ratio and pixel loss and evaluates the loss of as many masks. The
contestants take turns in one process, in an order drawn anew each round; ratios are taken within a
round, so that whatever else the machine is doing cancels, and their median and quartiles are
printed. Four things are compared:

    pass           forward and backward. Parts share the patch embedding and the targets.
    batch          the pass of one MAE step of K times the images beside K steps: what large
                   batches cost, with parts or without.
    consistency    the pass of parts with and without the consistency loss.
    step           input (crop, flip, resize, normalise), forward, backward, AdamW. Parts share
                   the input and the optimiser.

Times on a CPU are processor times. Memory is counted twice: what autograd keeps between forward and
backward, and the peak over two steps in a fresh process, that of the allocator on a GPU and the
resident memory on top of the imported libraries on a CPU.
"""

import argparse
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.resample import resized_crop
from mim.batch import Batch, View
from mim.draw import keys
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.consistency import Consistency
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.target.pixel import Pixel

CONFIGS = Path(__file__).parents[1] / "configs" / "encoder"


class Arm(NamedTuple):
    """How to evaluate the loss of K masks of each image."""

    partition: nn.Module
    loss: WeightedSum
    images: int
    """At once."""
    repeats: int
    """Steps to a round."""


def arms(parts: int, images: int, patch_size: int) -> dict[str, Arm]:
    """By name; the first is the measure of the others."""
    one, many = FixedRatio(1 - 1 / parts, "mask_up"), ParallelParts(parts)
    terms = {
        "pixel": Term(Pixel(Geometry.of(patch_size, patch_size))),
        "consistency": Consistency(geometry=Geometry.of(patch_size, patch_size)),
    }
    pixel, emae = (
        WeightedSum.of_one(terms["pixel"]),
        WeightedSum(terms, {"pixel": 1.0, "consistency": 1.0}),
    )
    return {
        f"{parts} MAE steps": Arm(one, pixel, images, parts),
        f"MAE step, {parts} times the images": Arm(one, pixel, images * parts, 1),
        f"{parts} parts": Arm(many, pixel, images, 1),
        f"{parts} parts, consistency": Arm(many, emae, images, 1),
    }


class Contestant:
    """A model, a loss and an optimiser. The seed gives all the same weights.

    Args:
        arm: what to do.
        args: of the command line: sizes, precision, device and seed.
    """

    def __init__(self, arm: Arm, args: argparse.Namespace):
        torch.manual_seed(args.seed)
        sizes = OmegaConf.load(CONFIGS / f"vit_{args.encoder}.yaml")
        encoder = ViT(args.image, args.patch, sizes.width, sizes.depth, sizes.heads)
        width, depth, heads = map(int, args.decoder.split("x"))
        decoder = partial(Decoder, width=width, depth=depth, heads=heads)
        self.model = (
            MAE(encoder, Masker(Random(), arm.partition), decoder, {"pixel": 3 * args.patch**2})
            .to(args.device)
            .train()
        )
        self.loss, self.repeats = arm.loss, arm.repeats
        self.image_size, self.bf16 = args.image, args.precision == "bf16"
        stored = round(args.image * 8 / 7)  # as ImageNet's 256 for 224
        self.pictures = torch.randint(
            0, 256, (arm.images, 3, stored, stored), dtype=torch.uint8
        ).to(args.device)
        self.view = CropFlip(TorchvisionBoxes())
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True
        )
        self.drawn = 0
        self.ready = self.batch()

    def batch(self) -> Batch:
        """The stored images, freshly drawn, cropped, flipped, resized and normalised, as the data
        modules do it.
        """
        B, _, height, width = self.pictures.shape
        place, self.drawn = torch.arange(B), self.drawn + 1
        key = keys(0, self.drawn, place)
        box, flip, _ = self.view(key, torch.tensor([[height, width]]).expand(B, 2))
        box = box / torch.tensor([width, height, width, height])
        place, key, box, flip = (
            column.to(self.pictures.device) for column in (place, key, box, flip)
        )
        image = resized_crop(self.pictures, box, flip, self.image_size).clamp(0, 255)
        return Batch((View((image - 127.5) / 64, box, flip),), place, place, key)

    def forward(self, batch: Batch) -> Tensor:
        """Images -> scalar loss."""
        with torch.autocast(batch.image.device.type, torch.bfloat16, enabled=self.bf16):
            made = self.model(batch)
            return self.loss(made.predictions, batch.image, made.split)

    def passes(self) -> None:
        """Forward and backward, on images that are there."""
        for _ in range(self.repeats):
            self.forward(self.ready).backward()
        self.optimizer.zero_grad()

    def step(self) -> None:
        """All of training."""
        self.forward(self.batch()).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def steps(self) -> None:
        """A round of it."""
        for _ in range(self.repeats):
            self.step()

    def kept_bytes(self) -> int:
        """What one forward pass keeps for the backward pass, besides the weights."""
        weights = {p.untyped_storage().data_ptr() for p in self.model.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self.forward(self.ready)
        return sum(kept.values())


def peak_bytes(arm: Arm, args: argparse.Namespace) -> int:
    """The most memory that two steps need: called in a process that has done nothing else."""
    torch.set_num_threads(args.threads)
    before = resident("VmRSS")
    contestant = Contestant(arm, args)
    for _ in range(2):  # in the second, the optimiser's state is there
        contestant.step()
    return (
        torch.cuda.max_memory_allocated()
        if contestant.pictures.is_cuda
        else resident("VmHWM") - before
    )


def resident(which: Literal["VmRSS", "VmHWM"]) -> int:
    """Bytes of memory that this process has now, or has had at most.

    From Linux's /proc, because the maximum that `resource` knows may be that of the process which
    started this one.
    """
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[which].split()[0]) * 1024


def in_fresh_processes(entries: dict[str, Arm], args: argparse.Namespace) -> dict[str, int]:
    """The peak of each."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return {name: pool.apply(peak_bytes, (arm, args)) for name, arm in entries.items()}


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """Wall time on a GPU, its queue empty before and after; processor time on a CPU, which others
    may be using as well.
    """
    if device.type == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def ratio(above: list[float], below: list[float]) -> str:
    """Median and quartiles of the ratios of each round."""
    low, middle, high = statistics.quantiles(
        [a / b for a, b in zip(above, below, strict=True)], n=4
    )
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--encoder",
        choices=sorted(path.stem.removeprefix("vit_") for path in CONFIGS.glob("vit_*.yaml")),
        default="tiny",
    )
    parser.add_argument("--patch", type=int, default=8)
    parser.add_argument("--image", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--decoder", default="192x4x3", help="width x depth x heads")
    parser.add_argument("--precision", choices=["32", "bf16"], default="32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--threads", type=int, default=1, help="of the CPU, whose times are added up"
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random.seed(args.seed)
    torch.set_num_threads(args.threads)

    K, B, device = args.parts, args.batch, torch.device(args.device)
    entries = arms(K, B, args.patch)
    peak = in_fresh_processes(entries, args)
    contestants = {name: Contestant(arm, args) for name, arm in entries.items()}
    passes: dict[str, list[float]] = {name: [] for name in entries}
    steps: dict[str, list[float]] = {name: [] for name in entries}
    for turn in range(args.rounds + 1):
        for name in random.sample(list(entries), len(entries)):
            spent = (
                seconds(contestants[name].passes, device),
                seconds(contestants[name].steps, device),
            )
            if turn:  # the first warms up
                passes[name].append(spent[0])
                steps[name].append(spent[1])

    place = (
        torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {args.threads} thread(s)"
    )
    print(
        f"ViT-{args.encoder}/{args.patch}, {args.image} pixels, batch {B}, decoder {args.decoder}, "
        f"{args.precision};",
        end=" ",
    )
    print(f"{place}, torch {torch.__version__}, seed {args.seed}, {args.rounds} rounds\n")
    print(
        "| | pass, ms | step, ms | images / s | loss evaluations / s | kept for backward, MiB | "
        "peak, MiB |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, contestant in contestants.items():
        step = statistics.median(steps[name])
        print(f"| {name} | {1e3 * statistics.median(passes[name]):.1f} | {1e3 * step:.1f}", end=" ")
        print(f"| {entries[name].images / step:.1f} | {B * K / step:.1f}", end=" ")
        print(f"| {contestant.kept_bytes() / 2**20:,.1f} | {peak[name] / 2**20:,.1f} |")
    mae, large, parts, both = entries
    print("\n| ratio | median (quartiles) | allowed |\n|---|--:|--:|")
    print(f"| pass of {parts} over {mae} | {ratio(passes[parts], passes[mae])} | 1.0 |")
    print(f"| pass of {large} over {mae} | {ratio(passes[large], passes[mae])} | |")
    print(f"| pass of {parts} over {large} | {ratio(passes[parts], passes[large])} | |")
    print(f"| pass with consistency over without | {ratio(passes[both], passes[parts])} | 1.05 |")
    print(f"| step of {both} over {mae} | {ratio(steps[both], steps[mae])} | below 1 |")


if __name__ == "__main__":
    main()
