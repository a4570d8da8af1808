"""What MAE and EMAE learn from CIFAR-10 in equal time: k-NN and linear-probe accuracy of a small
ViT, over several seeds.

    python benchmarks/emae_cifar10.py /path/to/cifar10_images --seconds 120 --seeds 0 1 2 --rates
    5e-4 1.5e-3 4.5e-3

The folder holds train/<class>/ and test/<class>/. Every training gets the same processor time on
one thread. EMAE takes 1/K of MAE's images a step, so that both evaluate the loss of equally many
masks a step and make about equally many steps. The learning rate follows warm-up and cosine over
the share of the time spent; each arm has its own peak, the best of `--rates` in a shorter training
of another seed, judged by k-NN among training images. The features are the mean patch token of
clean images; the probes learn from `--bank` training images and are judged on all test images.
"""

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from timm.optim import param_groups_weight_decay
from torch import nn

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.batch import Batch
from mim.data.image_folder import ImageFolder
from mim.encoder.vit import ViT
from mim.evaluate.classify import top1
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.features import Features, Judge, extract
from mim.evaluate.knn import KNN
from mim.evaluate.linear import Linear
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
from mim.optim.schedule import WarmupCosine
from mim.part import Progress
from mim.pool.simple import Mean
from mim.target.pixel import Pixel

PATCH, PARTS = 4, 4
NEIGHBOURS = KNN(k=20, temperature=0.07)
WHOLE = 1_000_000  # parts of a training that is measured in seconds
PROBES: dict[str, Judge] = {"k-NN": NEIGHBOURS, "linear": Linear(epochs=50)}


def build(partition: nn.Module, seed: int) -> MAE:
    """The encoder and decoder of configs/encoder/vit_pico.yaml, on patches of 4 x 4 pixels."""
    torch.manual_seed(seed)
    encoder = ViT(image_size=32, patch_size=PATCH, width=64, depth=4, heads=4)
    return MAE(
        encoder,
        Masker(Random(), partition),
        partial(Decoder, width=64, depth=2, heads=4),
        {"pixel": 3 * PATCH**2},
    )


class Arm(NamedTuple):
    """One way to train."""

    partition: nn.Module
    loss: WeightedSum
    batch: int
    """Images a step."""
    seconds: float
    """Processor time of its training."""


def endless(data: ImageFolder, batch: int, seed: int) -> Iterator[Batch]:
    """Training batches, epoch after epoch."""
    data.batch_size, data.seed = batch, seed
    loader = data.train_dataloader()
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)
        yield from map(data.on_after_batch_transfer, loader)
        epoch += 1


def train(
    model: MAE, loss: WeightedSum, batches: Iterator[Batch], seconds: float, lr: float
) -> int:
    """Train for so much processor time; returns the number of steps."""
    optimizer = torch.optim.AdamW(param_groups_weight_decay(model, 0.05), lr=lr, betas=(0.9, 0.95))
    schedule, start, steps = WarmupCosine(warmup_epochs=0.1), time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = lr * schedule(Progress(round(spent / seconds * WHOLE), WHOLE, WHOLE), lr)
        batch = next(batches)
        made = model(batch)
        loss(made.predictions, batch.image, made.split).backward()
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    return steps


def features(model: MAE, data: ImageFolder, batches: Iterable[Batch]) -> Features:
    """The mean patch token of each image."""
    subject = EvaluatedCheckpoint(
        "", model.encoder, data, data.on_after_batch_transfer, nullcontext, Path()
    )
    return extract(subject, FeatureExtractor(model.encoder, {"mean": Mean()}), batches)["mean"]


def accuracy(judge: Judge, known: Features, asked: Features) -> float:
    """Top-1 in per cent."""
    return 100 * max(top1(judge(known, asked.feature, 10), asked.label).values())


def best_rate(
    arm: Arm, rates: list[float], data: ImageFolder, seconds: float, seed: int, bank: int
) -> float:
    """The rate after which one half of the bank is told best by its neighbours in the other; test
    images stay unseen.
    """
    found: dict[float, float] = {}
    for lr in rates:
        model = build(arm.partition, seed)
        train(model, arm.loss, endless(data, arm.batch, seed), seconds, lr)
        known = features(model, data, data.bank_dataloader(bank))
        halves = (Features(known.feature[start::2], known.label[start::2]) for start in (0, 1))
        found[lr] = accuracy(NEIGHBOURS, *halves)
    print("  ".join(f"lr {lr:g}: {value:.2f}" for lr, value in found.items()), flush=True)
    return max(found, key=lambda lr: found[lr])


def spread(values: list[float]) -> str:
    """Mean, and standard deviation over seeds."""
    return (
        f"{statistics.mean(values):.2f} ± {statistics.stdev(values) if len(values) > 1 else 0:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument(
        "--seconds", type=float, default=120, help="processor time of each training"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch", type=int, default=64, help="MAE's images a step")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[5e-4, 1.5e-3, 4.5e-3], help="peak learning rates"
    )
    parser.add_argument(
        "--tuning-seconds",
        type=float,
        default=40,
        help="processor time of each training that tunes",
    )
    parser.add_argument("--tuning-seed", type=int, default=100)
    parser.add_argument("--bank", type=int, default=10_000)
    args = parser.parse_args()
    torch.set_num_threads(1)

    data = ImageFolder(
        args.folder,
        CropFlip(TorchvisionBoxes()),
        image_size=32,
        batch_size=args.batch,
        in_memory=True,
    )
    data.setup()
    terms = {
        "pixel": Term(Pixel(Geometry.of(PATCH, PATCH))),
        "consistency": Consistency(geometry=Geometry.of(PATCH, PATCH)),
    }
    pixel, both = (
        WeightedSum.of_one(terms["pixel"]),
        WeightedSum(terms, {"pixel": 1.0, "consistency": 1.0}),
    )
    fewer = args.batch // PARTS
    arms = {
        "untrained": Arm(FixedRatio(0.75), pixel, args.batch, 0.0),
        "MAE, ratio 3/4": Arm(FixedRatio(0.75), pixel, args.batch, args.seconds),
        f"EMAE, K = {PARTS}, pixels only": Arm(ParallelParts(PARTS), pixel, fewer, args.seconds),
        f"EMAE, K = {PARTS}": Arm(ParallelParts(PARTS), both, fewer, args.seconds),
    }
    rate = dict.fromkeys(arms, 0.0)
    for name, arm in arms.items():
        if arm.seconds:
            print(name, end="  ", flush=True)
            rate[name] = best_rate(
                arm, args.rates, data, args.tuning_seconds, args.tuning_seed, args.bank
            )

    found: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    for seed in args.seeds:
        for name, arm in arms.items():
            model = build(arm.partition, seed)
            steps = train(model, arm.loss, endless(data, arm.batch, seed), arm.seconds, rate[name])
            known = features(model, data, data.bank_dataloader(args.bank))
            asked = features(model, data, data.val_dataloader())
            judged = {probe: accuracy(judge, known, asked) for probe, judge in PROBES.items()}
            found[name].append({"steps": steps, **judged})
            print(f"seed {seed}  {name}: {found[name][-1]}", flush=True)

    print(f"\n{args.seconds:g} s of processor time, seeds {args.seeds}, bank {args.bank:,}\n")
    print("| | images a step | peak rate | steps | images seen | k-NN top-1, % | linear top-1, % |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, rows in found.items():
        taken, batch = statistics.mean(row["steps"] for row in rows), arms[name].batch
        accuracies = " | ".join(spread([row[probe] for row in rows]) for probe in PROBES)
        print(
            f"| {name} | {batch} | {rate[name]:g} | {taken:,.0f} | {taken * batch:,.0f} | "
            f"{accuracies} |"
        )


if __name__ == "__main__":
    main()
