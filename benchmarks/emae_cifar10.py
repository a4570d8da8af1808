"""What MAE and EMAE learn from CIFAR-10 in equal time: k-NN and linear-probe accuracy of a small ViT, over several seeds.

    python benchmarks/emae_cifar10.py /path/to/cifar10_images --seconds 90 --seeds 0 1 2

The folder holds train/<class>/ and test/<class>/. Every training gets the same processor time on one thread, the same images in
the same order, the same batch size and the same learning rate, which follows warm-up and cosine over the share of the time spent.
The features are the mean patch token of clean images; the probes learn from `--bank` training images and are judged on all test
images.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from timm.optim import param_groups_weight_decay
from torch import nn

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.batch import Batch
from mim.data.image_folder import ImageFolder
from mim.encoder.vit import ViT
from mim.judge.features import Judge
from mim.judge.knn import KNN
from mim.judge.linear import Linear
from mim.loss.consistency import Consistency
from mim.loss.pixel import Pixel
from mim.loss.weighted_sum import WeightedSum
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.optim.schedule import WarmupCosine
from mim.pool.mean import Mean
from mim.task.classify import bank_and_held_out, top1
from mim.task.look import Look
from mim.task.subject import Subject

PATCH, PARTS = 4, 4


def build(partition: nn.Module, target_dim: int, seed: int) -> MAE:
    """The encoder and decoder of configs/encoder/vit_pico.yaml, on patches of 4 x 4 pixels."""
    torch.manual_seed(seed)
    encoder = ViT(image_size=32, patch_size=PATCH, width=64, depth=4, heads=4)
    return MAE(encoder, Masker(Random(), partition), partial(Decoder, width=64, depth=2, heads=4), target_dim)


def endless(data: ImageFolder, seed: int) -> Iterator[Batch]:
    """Training batches, epoch after epoch."""
    data.seed = seed
    loader = data.train_dataloader()
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)
        yield from map(data.on_after_batch_transfer, loader)
        epoch += 1


def train(model: MAE, loss: nn.Module, batches: Iterator[Batch], seconds: float, lr: float) -> int:
    """Train for so much processor time; returns the number of steps."""
    optimizer = torch.optim.AdamW(param_groups_weight_decay(model, 0.05), lr=lr, betas=(0.9, 0.95))
    schedule, start, steps = WarmupCosine(warmup_epochs=0.1), time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = lr * schedule(spent / seconds, 1.0, lr)
        batch = next(batches)
        prediction, split = model(batch)
        loss(prediction, batch.image, split).backward()
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    return steps


def judge(model: MAE, data: ImageFolder, bank: int) -> dict[str, float]:
    """Top-1 accuracies in per cent."""
    subject = Subject("", model.encoder, data, data.on_after_batch_transfer, nullcontext, Path())
    known, asked = bank_and_held_out(subject, Look(model.encoder, {"mean": Mean()}), bank, None)["mean"]
    probes: dict[str, Judge] = {"k-NN": KNN(k=20, temperature=0.07), "linear": Linear(epochs=50)}
    return {
        name: 100 * max(top1(probe(known, asked.feature, 10), asked.label).values()) for name, probe in probes.items()
    }


def spread(values: list[float]) -> str:
    """Mean, and standard deviation over seeds."""
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values) if len(values) > 1 else 0:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--seconds", type=float, default=90, help="processor time of each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--bank", type=int, default=10_000)
    args = parser.parse_args()
    torch.set_num_threads(1)

    data = ImageFolder(args.folder, CropFlip(TorchvisionBoxes()), image_size=32, batch_size=args.batch, in_memory=True)
    data.setup()
    pixel = Pixel(PATCH)
    both = WeightedSum({"pixel": pixel, "consistency": Consistency(PATCH)}, {"pixel": 1.0, "consistency": 1.0})
    arms: dict[str, tuple[nn.Module, nn.Module, float]] = {
        "untrained": (FixedRatio(0.75), pixel, 0.0),
        "MAE, ratio 3/4": (FixedRatio(0.75), pixel, args.seconds),
        f"EMAE, K = {PARTS}, pixels only": (ParallelParts(PARTS), pixel, args.seconds),
        f"EMAE, K = {PARTS}": (ParallelParts(PARTS), both, args.seconds),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    for seed in args.seeds:
        for name, (partition, loss, seconds) in arms.items():
            model = build(partition, pixel.target_dim, seed)
            steps = train(model, loss, endless(data, seed), seconds, args.lr)
            found[name].append({"steps": steps, **judge(model, data, args.bank)})
            print(f"seed {seed}  {name}: {found[name][-1]}", flush=True)

    print(
        f"\n{args.seconds:g} s of processor time, batch {args.batch}, lr {args.lr:g}, seeds {args.seeds}, bank {args.bank:,}\n"
    )
    print("| | steps | images seen | k-NN top-1, % | linear top-1, % |\n|---|--:|--:|--:|--:|")
    for name, rows in found.items():
        steps = statistics.mean(row["steps"] for row in rows)
        accuracies = " | ".join(spread([row[probe] for row in rows]) for probe in ("k-NN", "linear"))
        print(f"| {name} | {steps:.0f} | {steps * args.batch:,.0f} | {accuracies} |")


if __name__ == "__main__":
    main()
