"""What K parallel parts cost beside K separate MAE steps, and what the consistency loss adds.

    python benchmarks/emae.py --encoder tiny --image 64 --patch 8 --batch 32 --parts 4

Everyone has the same weights, images, ratio and pixel loss, so both sides evaluate the loss of K masks of B images. The contestants
take turns in one process, in an order drawn anew each round; ratios are taken within a round, so that whatever else the machine is
doing cancels, and their median and quartiles are printed. Three things are compared:

    pass           forward and backward. Parts share the targets and nothing else that counts.
    consistency    the same pass with and without the consistency loss.
    step           input (crop, flip, resize, normalise), forward, backward, AdamW. Parts share the input and the optimiser.

Times on a CPU are processor times. Memory is what autograd keeps between forward and backward, counted on any device, and the
allocator's peak on a GPU.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.resample import resized_crop
from mim.batch import Batch
from mim.draw import keys
from mim.encoder.vit import ViT
from mim.loss.consistency import Consistency
from mim.loss.pixel import Pixel
from mim.loss.weighted_sum import WeightedSum
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE

CONFIGS = Path(__file__).parents[1] / "configs" / "encoder"


class Contestant:
    """A model, a loss and an optimiser; `repeats` steps of it evaluate the loss of K masks of each image.

    Args:
        model: predicts.
        loss: judges.
        repeats: steps to a round.
        pictures: stored images (B, 3, H, W) uint8, on the device.
        image_size: pixels per side of what the model sees.
        bf16: whether to use automatic mixed precision.
    """

    def __init__(self, model: nn.Module, loss: nn.Module, repeats: int, pictures: Tensor, image_size: int, bf16: bool):
        self.model, self.loss, self.repeats = model.to(pictures.device).train(), loss, repeats
        self.pictures, self.image_size, self.bf16 = pictures, image_size, bf16
        self.view = CropFlip(TorchvisionBoxes())
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
        self.drawn = 0
        self.ready = self.batch()

    def batch(self) -> Batch:
        """The stored images, freshly drawn, cropped, flipped, resized and normalised, as the data modules do it."""
        B, _, height, width = self.pictures.shape
        place, self.drawn = torch.arange(B), self.drawn + 1
        key = keys(0, self.drawn, place)
        box, flip = self.view(key, torch.tensor([[height, width]]).expand(B, 2))
        box = box / torch.tensor([width, height, width, height])
        place, key, box, flip = (column.to(self.pictures.device) for column in (place, key, box, flip))
        image = resized_crop(self.pictures, box, flip, self.image_size).clamp(0, 255)
        return Batch((image - 127.5) / 64, place, place, box, flip, key)

    def forward(self, batch: Batch) -> Tensor:
        """Images -> scalar loss."""
        with torch.autocast(batch.image.device.type, torch.bfloat16, enabled=self.bf16):
            prediction, split = self.model(batch)
            return self.loss(prediction, batch.image, split)

    def passes(self) -> None:
        """Forward and backward, on images that are there."""
        for _ in range(self.repeats):
            self.forward(self.ready).backward()
        self.optimizer.zero_grad()

    def steps(self) -> None:
        """All of training."""
        for _ in range(self.repeats):
            self.forward(self.batch()).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

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

    def peak_bytes(self) -> int | None:
        """The allocator's peak over a step; None on a CPU, which has no such count."""
        if not self.pictures.is_cuda:
            return None
        torch.cuda.reset_peak_memory_stats()
        self.steps()
        return torch.cuda.max_memory_allocated()


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """Wall time on a GPU, its queue empty before and after; processor time on a CPU, which others may be using as well."""
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
    low, middle, high = statistics.quantiles([a / b for a, b in zip(above, below, strict=True)], n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def mebi(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:,.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, whose times are added up")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    K, B, device = args.parts, args.batch, torch.device(args.device)
    stored = round(args.image * 8 / 7)  # as ImageNet's 256 for 224
    pictures = torch.randint(0, 256, (B, 3, stored, stored), dtype=torch.uint8).to(device)
    sizes = OmegaConf.load(CONFIGS / f"vit_{args.encoder}.yaml")
    width, depth, heads = map(int, args.decoder.split("x"))
    pixel = Pixel(args.patch)
    emae = WeightedSum({"pixel": pixel, "consistency": Consistency(args.patch)}, {"pixel": 1.0, "consistency": 1.0})
    entries = {
        f"{K} MAE steps": (FixedRatio(1 - 1 / K, "mask_up"), pixel, K),
        f"{K} parts": (ParallelParts(K), pixel, 1),
        f"{K} parts, consistency": (ParallelParts(K), emae, 1),
    }
    contestants, weights = {}, None
    for name, (partition, loss, repeats) in entries.items():
        encoder = ViT(args.image, args.patch, sizes.width, sizes.depth, sizes.heads)
        decoder = partial(Decoder, width=width, depth=depth, heads=heads)
        model = MAE(encoder, Masker(Random(), partition), decoder, pixel.target_dim)
        weights = weights or {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(weights)
        contestants[name] = Contestant(model, loss, repeats, pictures, args.image, args.precision == "bf16")

    passes: dict[str, list[float]] = {name: [] for name in contestants}
    steps: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(args.rounds + 1):
        for name in random.sample(list(contestants), len(contestants)):
            spent = (seconds(contestants[name].passes, device), seconds(contestants[name].steps, device))
            if turn:  # the first warms up
                passes[name].append(spent[0])
                steps[name].append(spent[1])

    place = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {args.threads} thread(s)"
    print(
        f"ViT-{args.encoder}/{args.patch}, {args.image} pixels, batch {B}, decoder {args.decoder}, {args.precision};",
        end=" ",
    )
    print(f"{place}, torch {torch.__version__}, seed {args.seed}, {args.rounds} rounds\n")
    print("| | pass, ms | step, ms | images / s | loss evaluations / s | kept for backward, MiB | peak, MiB |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, contestant in contestants.items():
        spent = statistics.median(steps[name])
        print(f"| {name} | {1e3 * statistics.median(passes[name]):.1f} | {1e3 * spent:.1f} | {B / spent:.1f}", end=" ")
        print(f"| {B * K / spent:.1f} | {mebi(contestant.kept_bytes())} | {mebi(contestant.peak_bytes())} |")
    mae, parts, both = contestants
    print("\n| ratio, median (quartiles) | | allowed |\n|---|--:|--:|")
    print(f"| pass of {parts} over {mae} | {ratio(passes[parts], passes[mae])} | 1.0 |")
    print(f"| pass with consistency over without | {ratio(passes[both], passes[parts])} | 1.05 |")
    print(f"| step of {both} over {mae} | {ratio(steps[both], steps[mae])} | below 1 |")


if __name__ == "__main__":
    main()
