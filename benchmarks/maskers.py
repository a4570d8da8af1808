"""What each masker costs, or saves, in a training step (forward, backward, optimiser), relative to
masking at random.

    python benchmarks/maskers.py --encoder vit_base --batch 8
    python benchmarks/maskers.py --encoder vit_base --batch 256 --precision bf16 --compile

All maskers hide patches for the same network, one after another, in an order drawn anew each round.
Ratios are taken within a round, so that whatever else the computer is doing cancels; their median
and quartiles go into a Markdown table. The last column is the time of the masker by itself. Some
rows are there to compare with: `amt, without throwing` has throw_ratio=0; `random, padded` hides as
much of every image as `random` does, but pads its sets to where sbam's ratio may go; `sbam, ideal`
gives all images the mean of sbam's ratios, so that nothing is padded.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mim.batch import Batch, blank
from mim.draw import keys
from mim.encoder.encoder import cls_attention
from mim.launch.resolvers import register_resolvers
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.attention_store import AttentionStore, attention_weights
from mim.target.pixel import Pixel

CONFIGS = Path(__file__).parents[1] / "configs"
MASKERS = {
    "random": ["masker=random"],
    "random, padded": ["masker=random", "masker/partition=adaptive_ratio"],
    "block": ["masker=block"],
    "sbm": ["masker=sbm"],
    "sbam": ["masker=sbam"],
    "sbam, per batch": ["masker=sbam", "masker.partition.per=batch"],
    "am": ["masker=am"],
    "amt": ["masker=amt"],
    "amt, without throwing": ["masker=amt", "masker.partition.throw_ratio=0.0"],
    "attmask": ["masker=attmask"],
    "mst": ["masker=mst"],
}


class Trainee:
    """One network and its optimiser; the masker changes from step to step."""

    def __init__(self, encoder: str, image: Tensor, bf16: bool, compiled: bool):
        settings = [f"encoder={encoder}", "model=mae", f"data.image_size={image.shape[-1]}"]
        register_resolvers()
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            configs = {
                name: compose("train", [*settings, *chosen]) for name, chosen in MASKERS.items()
            }
        self.maskers: dict[str, nn.Module] = {
            name: instantiate(cfg.masker) for name, cfg in configs.items()
        }
        loss = WeightedSum.of_one(Term(Pixel))
        self.model = instantiate(configs["random"].model)(target_dims=loss.fit).to(image.device)
        self.loss = loss.term["pixel"]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        place = torch.arange(len(image), device=image.device)
        self.batch: Batch = (
            blank(len(image), image.shape[-2:], image.device)
            .with_image(image)
            ._replace(key=keys(0, 0, place))
        )
        self.bf16 = bf16
        self.forward = torch.compile(self._forward, fullgraph=True) if compiled else self._forward
        self._fill()
        self._add_ideal()

    def _fill(self) -> None:
        grid = self.model.encoder.geometry.grid
        for masker in self.maskers.values():
            masker.to(self.batch.image.device)
            for store in (part for part in masker.modules() if isinstance(part, AttentionStore)):
                store.maps = torch.rand(
                    len(self.batch.image), *grid, device=self.batch.image.device
                ).half()

    @torch.no_grad()
    def _add_ideal(self) -> None:
        tokens = self.model.encoder.embed(self.batch.image)
        split = self.maskers["sbam"](self.batch, self.model.encoder.geometry.grid, tokens)
        shown = split.visible_valid.sum(-1).float()
        self.ratio = 1 - shown.mean().item() / tokens.shape[1]
        self.padded = split.visible.shape[2] / shown.mean().item()
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            ideal = compose("train", ["masker=sbm", f"masker.partition.ratio={self.ratio}"]).masker
        self.maskers["sbam, ideal"] = instantiate(ideal)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.batch.image.device.type, torch.bfloat16, enabled=self.bf16)

    def _forward(self, batch: Batch) -> Tensor:
        with self._autocast():
            made = self.model(batch)
            return self.loss(made.prediction, batch.image, made.split)

    def step(self, name: str) -> None:
        self.model.masker = self.maskers[name]
        self.forward(self.batch).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def mask(self, name: str, tokens: Tensor) -> None:
        with self._autocast():
            self.maskers[name](self.batch, self.model.encoder.geometry.grid, tokens)

    @torch.no_grad()
    def look(self) -> None:
        with self._autocast():
            attention_weights(cls_attention(self.model.encoder, self.batch.image)).half()


def seconds(work: Callable[[], None], times: int, device: torch.device) -> float:
    """Wall time of one call, the device's queue empty before and after."""
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    synchronise()
    start = time.perf_counter()
    for _ in range(times):
        work()
    synchronise()
    return (time.perf_counter() - start) / times


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return low, middle, high


def smooth_images(count: int, size: int, device: torch.device) -> Tensor:
    """Smooth random fields of different contrast, so that salience differs from image to image:
    (count, 3, size, size).
    """
    generator = torch.Generator().manual_seed(0)
    coarse = (
        torch.randn(count, 3, 14, 14, generator=generator)
        * torch.rand(count, 1, 1, 1, generator=generator)
        * 2
    )
    return interpolate(coarse, size=size, mode="bicubic").to(device)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="vit_base")
    parser.add_argument("--image", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1, help="steps of each masker per round")
    parser.add_argument("--precision", choices=["32", "bf16"], default="32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()

    device = torch.device(given.device)
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    trainee = Trainee(
        given.encoder,
        smooth_images(given.batch, given.image, device),
        given.precision == "bf16",
        given.compile,
    )
    with torch.no_grad():
        tokens = trainee.model.encoder.embed(trainee.batch.image)
    for name in trainee.maskers:  # compile, choose kernels, fill caches
        trainee.step(name)
    trainee.look()

    steps: dict[str, list[float]] = {name: [] for name in trainee.maskers}
    alone: dict[str, list[float]] = {name: [] for name in trainee.maskers}
    looks = []
    for _ in range(given.rounds):
        for name in random.sample(list(steps), len(steps)):
            steps[name].append(seconds(lambda name=name: trainee.step(name), given.steps, device))  # type: ignore[misc]
            alone[name].append(seconds(lambda name=name: trainee.mask(name, tokens), 3, device))  # type: ignore[misc]
        looks.append(seconds(trainee.look, given.steps, device))

    print(
        f"\n{given.encoder}, {given.batch} images of {given.image}, {given.precision}, {device}",
        end="",
    )
    print(
        ", compiled" * given.compile
        + f", {torch.get_num_threads()} threads, {given.rounds} rounds\n"
    )
    print("| masker | ms a step | time over random (quartiles) | masker alone, share of a step |")
    print("|---|---:|---:|---:|")
    for name, measured in steps.items():
        low, middle, high = quartiles(
            [t / r for t, r in zip(measured, steps["random"], strict=True)]
        )
        own = statistics.median(a / t for a, t in zip(alone[name], measured, strict=True))
        print(
            f"| {name} | {statistics.median(measured) * 1e3:.0f} | {middle:.3f} ({low:.3f} to "
            f"{high:.3f}) | {own:.2%} |"
        )

    def ratio(a: list[float], b: list[float]) -> str:
        low, middle, high = quartiles([x / y for x, y in zip(a, b, strict=True)])
        return f"{middle:.3f} ({low:.3f} to {high:.3f})"

    print(
        f"\namt is {ratio(steps['amt, without throwing'], steps['amt'])} times as fast as without "
        "throwing, ",
        end="",
    )
    print(f"{ratio(steps['random'], steps['amt'])} times as fast as random")
    print(
        f"sbam runs at {ratio(steps['sbam, ideal'], steps['sbam'])} of the speed of its mean ratio "
        f"{trainee.ratio:.3f} without ",
        end="",
    )
    print(f"padding (visible sets are padded {trainee.padded:.2f} times)")
    print(
        "at the same ratio, padding alone slows training to "
        f"{ratio(steps['random'], steps['random, padded'])} of its speed"
    )
    share = [look / (40 * step) for look, step in zip(looks, steps["amt"], strict=True)]
    print(
        f"looking at an image every 40 epochs takes {statistics.median(share):.2%} of the training "
        "time of amt"
    )


if __name__ == "__main__":
    main()
