"""Time one training step (forward, backward, optimiser): our MAE beside its peers' from PyPI, our
SimMIM beside a dense one.

    pip install -e '.[bench]'
    python benchmarks/step.py --encoder small --patch 16 --image 224 --batch 16
    python benchmarks/step.py --model simmim --encoder tiny --patch 8 --image 64

All contestants of a model get the same architecture, initialisation, images, mask ratio, loss and
optimiser; parameter counts and first losses are printed to show it. The contestants take turns in
one process, in an order drawn anew each round. Ratios are taken within a round, so that whatever
else the machine is doing cancels, and their median and quartiles go into a Markdown table.
"""

import argparse
import random
import statistics
import time
import warnings
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path

import torch
from omegaconf import OmegaConf
from peers import RATIO, Lightly, Transformers
from simmim import CONTESTANTS as SIMMIM
from simmim import OnSets
from sizes import Sizes
from torch import Tensor, nn

from mim.batch import Batch, View
from mim.draw import keys
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.target.pixel import Pixel

CONFIGS = Path(__file__).parents[1] / "configs" / "encoder"


class Ours(nn.Module):
    """This project's MAE; images (B, 3, H, W) -> scalar loss, as for every contestant."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        width, depth, heads = sizes.decoder
        self.loss = Term(Pixel(Geometry.of(sizes.patch, sizes.patch), normalise=True))
        encoder = ViT(sizes.image, sizes.patch, *sizes.encoder)
        decoder = partial(Decoder, width=width, depth=depth, heads=heads)
        self.model = MAE(
            encoder, Masker(Random(), FixedRatio(RATIO)), decoder, {"pixel": self.loss.target_dim}
        )

    def forward(self, image: Tensor) -> Tensor:
        place = torch.arange(len(image), device=image.device)
        box, flip = image.new_zeros(len(image), 4), place < 0
        made = self.model(Batch((View(image, box, flip),), place, place, keys(0, 0, place)))
        return self.loss(made.prediction, image, made.split)


class Contestant:
    """A model and its optimiser, ready to step."""

    def __init__(self, name: str, model: nn.Module, image: Tensor, precision: str, compiled: bool):
        self.name, self.image, self.bf16 = name, image, precision == "bf16"
        self.model = model.to(image.device).train()
        trained = [p for p in model.parameters() if p.requires_grad]
        self.parameters = sum(p.numel() for p in trained)
        self.optimizer = torch.optim.AdamW(
            trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True
        )
        if compiled:
            self.model.compile(fullgraph=isinstance(model, Ours | OnSets))
        self.first_loss = self.step().item()

    def step(self) -> Tensor:
        with torch.autocast(self.image.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self.model(self.image)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def seconds(self, steps: int) -> float:
        """Wall time of one of `steps` steps, the device's queue empty before and after."""
        synchronise = torch.cuda.synchronize if self.image.is_cuda else lambda: None
        synchronise()
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        synchronise()
        return (time.perf_counter() - start) / steps


def compare(contestants: list[Contestant], rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds per step of each contestant in each round; the first round warms up and is thrown
    away.
    """
    seconds: dict[str, list[float]] = {c.name: [] for c in contestants}
    for _ in range(rounds + 1):
        for contestant in random.sample(contestants, len(contestants)):
            seconds[contestant.name].append(contestant.seconds(steps))
    return {name: times[1:] for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=["mae", "simmim"], nargs="+", default=["mae", "simmim"])
    parser.add_argument(
        "--encoder",
        choices=sorted(path.stem.removeprefix("vit_") for path in CONFIGS.glob("vit_*.yaml")),
        default="small",
    )
    parser.add_argument("--patch", type=int, default=16)
    parser.add_argument("--image", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--decoder", default="512x8x16", help="width x depth x heads")
    parser.add_argument("--precision", choices=["32", "bf16"], nargs="+", default=["32", "bf16"])
    parser.add_argument("--compile", choices=["on", "off", "both"], default="off")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--steps", type=int, default=1, help="steps per contestant and round; more on a fast device"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    random.seed(args.seed)
    torch.set_num_threads(args.threads)

    width, depth, heads = map(int, args.decoder.split("x"))
    encoder = OmegaConf.load(CONFIGS / f"vit_{args.encoder}.yaml")
    sizes = Sizes(
        args.image, args.patch, (encoder.width, encoder.depth, encoder.heads), (width, depth, heads)
    )
    mae = {
        "ours": Ours,
        f"transformers {version('transformers')}": Transformers,
        f"lightly {version('lightly')}": Lightly,
    }
    device = (
        torch.cuda.get_device_name()
        if args.device.startswith("cuda")
        else f"CPU, {args.threads} threads"
    )
    print(
        f"ViT-{args.encoder}/{args.patch}, {args.image} pixels, batch {args.batch}, decoder "
        f"{args.decoder};",
        end=" ",
    )
    print(
        f"{device}, torch {torch.__version__}, timm {version('timm')}, seed {args.seed}, "
        f"{args.rounds} rounds\n"
    )
    print(
        "| model | precision | compiled | | parameters | first loss | ms / step | images / s | "
        "time over ours (quartiles) |"
    )
    print("|---|---|---|---|--:|--:|--:|--:|--:|")
    compiling = {"on": [True], "off": [False], "both": [False, True]}[args.compile]
    for model, precision, compiled in product(args.model, args.precision, compiling):
        torch.manual_seed(args.seed)
        image = torch.randn(args.batch, 3, args.image, args.image, device=args.device)
        builders = {"mae": mae, "simmim": SIMMIM}[model]
        contestants = [
            Contestant(name, build(sizes), image, precision, compiled)
            for name, build in builders.items()
        ]
        seconds = compare(contestants, args.rounds, args.steps)
        for c in contestants:
            median = statistics.median(seconds[c.name])
            ratios = [
                theirs / ours for theirs, ours in zip(seconds[c.name], seconds["ours"], strict=True)
            ]
            low, middle, high = statistics.quantiles(ratios, n=4)
            about = (
                f"{model} | {precision} | {'yes' if compiled else 'no'} | {c.name} | "
                f"{c.parameters:,} | {c.first_loss:.4f}"
            )
            speed = (
                f"{1e3 * median:.1f} | {args.batch / median:.1f} | {middle:.2f} ({low:.2f} to "
                f"{high:.2f})"
            )
            print(f"| {about} | {speed} |", flush=True)


if __name__ == "__main__":
    main()
