"""What twelve heads cost in the quick probe beside one: images to features to trained heads to
accuracies, nothing kept before.

    python benchmarks/probe.py <folder of CIFAR-10's pictures> --images 50000 --held-out 10000
    python benchmarks/probe.py <folder> --images 500 --held-out 100 --epochs 1  # does it run

Twelve heads are three pools with four learning rates each (cls, mean, abmilp). They are compared
with one head of the dearest pool and with one of the cheapest, in an order drawn anew each round,
so that whatever else the computer is doing cancels: the ratio is taken within a round. The encoder
is untrained; that costs the same.
"""

import argparse
import random
import statistics
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from mim.augment.no_augment import NoAugment
from mim.batch import Batch
from mim.data.image_folder import ImageFolder
from mim.evaluate.classify import Pools
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.probe import Probe
from mim.launch.resolvers import register_resolvers
from mim.pool.abmilp import AbMILP
from mim.pool.simple import Cls, Mean

CONFIGS = Path(__file__).parents[1] / "configs"
POOLS: Pools = {"cls": Cls(), "mean": Mean(), "abmilp": AbMILP}
RATES = [3e-4, 1e-3, 3e-3, 1e-2]
CASES: dict[str, tuple[Pools, list[float]]] = {
    "one head (cls)": ({"cls": Cls()}, RATES[:1]),
    "one head (abmilp)": ({"abmilp": AbMILP}, RATES[:1]),
    "twelve heads": (POOLS, RATES),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--encoder", default="vit_tiny")
    parser.add_argument("--patch", type=int, default=4)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--held-out", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    args = parser.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = ImageFolder(args.folder, NoAugment(), image_size=32, batch_size=256, in_memory=True)
    data.setup()
    register_resolvers()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        overrides = [
            f"encoder={args.encoder}",
            f"encoder.patch_size={args.patch}",
            "hydra.runtime.output_dir=.",
        ]
        cfg = compose("train", overrides, return_hydra_config=True)
    encoder = instantiate(cfg.encoder, image_size=32).to(device)

    def prepare(batch: Batch) -> Batch:
        return data.on_after_batch_transfer(batch.apply(lambda column: column.to(device)))

    half = partial(torch.autocast, device.type, torch.bfloat16)
    autocast = nullcontext if args.precision == "float32" else half
    subject = EvaluatedCheckpoint("untrained", encoder, data, prepare, autocast, Path())

    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    for number in range(args.rounds):
        for name in random.Random(number).sample(sorted(CASES), len(CASES)):
            pools, lr = CASES[name]
            task = Probe(
                pools, lr, epochs=args.epochs, bank_limit=args.images, held_out_limit=args.held_out
            )
            start = time.perf_counter()
            task([subject])
            seconds[name].append(time.perf_counter() - start)
            print(
                f"round {number + 1}/{args.rounds}  {name}  {seconds[name][-1]:.1f} s", flush=True
            )

    many = seconds["twelve heads"]
    print(
        f"\n{args.images:,} + {args.held_out:,} images, {args.encoder}, patches of {args.patch}, "
        f"{args.precision}, {device.type}\n"
    )
    print("| heads | seconds | twelve heads cost |\n| --- | ---: | ---: |")
    for name, taken in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(many, taken, strict=True))
        print(f"| {name} | {statistics.median(taken):.1f} | {ratio:.2f} x |")


if __name__ == "__main__":
    main()
