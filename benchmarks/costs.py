"""Hours and dollars of the papers' runs on 1, 8 and 64 GPUs: a table of docs/scaling.md.

    python benchmarks/costs.py
    python benchmarks/costs.py --price 2.5 --priced 2027-01-31

One step was measured: MAE, ViT-B/16, 512 images, compiled, on one H200
(benchmarks/results/2026-11-26_h200.md). All other hours are operations counted on the networks that
experiments build, at the rate which that step reached; nobody measured them.
"""

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from typing import NamedTuple
from unittest.mock import patch

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

import mim
from mim.analysis.scaling import FLOAT
from mim.batch import Batch, View
from mim.callback.throughput import flops_per_image
from mim.geometry import pair
from mim.masker.attention_store import AttentionStore
from mim.part import parts_of

IMAGENET = 1_281_167
MEASURED = "mae/imagenet_vit_base"
RATE = 5935.0
"""Images a second of the measured step."""
GPUS = (1, 8, 64)
NODE = 8
EXPERIMENTS = (
    *(
        "mae/imagenet_vit_base",
        "mae/imagenet_vit_large",
        "mae/imagenet_vit_huge",
        "simmim/imagenet_vit_base",
    ),
    *("amt/imagenet_mae_random", "amt/imagenet_mae_amt", "sbam/imagenet_sbam", "emae/imagenet_k4"),
    *(
        "crossmae/imagenet_vit_base_quarter",
        "maskfeat/imagenet_vit_base",
        "data2vec/imagenet_vit_base",
    ),
    *(
        "bootmae/imagenet_vit_base",
        "cmae/imagenet_vit_base_300",
        "ibot/imagenet_vit_small",
        "ibot/imagenet_vit_base",
    ),
    *(
        "dino/imagenet_vit_small",
        "ijepa/imagenet_vit_huge",
        "moco_v3/imagenet_vit_base",
        "msn/imagenet_vit_small",
    ),
    *("budget/vit_base_one_gpu", "budget/vit_small_one_day"),
)


class Cost(NamedTuple):
    """Cost of a run."""

    experiment: str
    epochs: float
    images_per_step: int
    flops: float
    """Of an image: forward, backward, teacher; all views."""
    parameters: int
    """That are trained."""

    def hours(self, gpus: int, rate: float, network: float) -> float:
        """Hours on so many GPUs.

        Gradients are summed while the backward pass, two thirds of a step, computes; what takes
        longer is waited for. The pictures never are.

        Args:
            gpus: nodes of 8.
            rate: operations a second of one GPU.
            network: bytes a second between nodes, for each GPU.
        """
        computing = self.images_per_step / gpus * self.flops / rate
        nodes = max(1, gpus // NODE)
        sending = 2 * FLOAT * self.parameters * (nodes - 1) / nodes / NODE / network
        steps = self.epochs * IMAGENET / self.images_per_step
        return steps * (computing + max(0.0, sending - computing * 2 / 3)) / 3600


def cost(experiment: str) -> Cost:
    """Cost of an experiment, whose network is built without memory, masked as in its last epoch."""
    cfg = mim.compose(f"experiment={experiment}", "hydra.run.dir=unused")
    with torch.device("meta"), patch("torch.autocast", return_value=nullcontext()):  # meta has none
        task = instantiate(cfg.task)
        for store in (part for part in task.modules() if isinstance(part, AttentionStore)):
            store.maps = torch.zeros(2, *task.model.encoder.geometry.grid)
        for part in parts_of(task):
            part.begin_epoch(cfg.epochs - 1)
        flops = flops_per_image(task, batch_of(cfg))
    trained = sum(p.numel() for p in task.parameters() if p.requires_grad)
    images = cfg.images_per_step or cfg.data.batch_size
    return Cost(experiment, epochs_of(cfg, images), images, flops, trained)


def epochs_of(cfg: DictConfig, images: int) -> float:
    """Passes over ImageNet."""
    return cfg.epochs if cfg.steps is None else cfg.steps * images / IMAGENET


def batch_of(cfg: DictConfig) -> Batch:
    """Two images, each in the views that the data would give."""
    recipes = instantiate(cfg.data.augment).views
    views = []
    for recipe in recipes:
        size = recipe.size or cfg.data.image_size
        height, width = pair(size if isinstance(size, int) else list(size))
        views.append(
            View(
                torch.zeros(2, 3, height, width),
                torch.zeros(2, 4),
                torch.zeros(2, dtype=torch.bool),
            )
        )
    number = torch.zeros(2, dtype=torch.int64)
    return Batch(tuple(views), number, number, number)


def table(costs: list[Cost], price: float, network: float) -> str:
    """Markdown: hours and dollars by number of GPUs."""
    rate = RATE * next(each.flops for each in costs if each.experiment == MEASURED)

    def rows() -> Iterator[list[str]]:
        for each in costs:
            hours = [each.hours(gpus, rate, network) for gpus in GPUS]
            spent = [
                f"{h:,.1f} h, ${h * gpus * price:,.0f}" for h, gpus in zip(hours, GPUS, strict=True)
            ]
            kind = "**measured**" if each.experiment == MEASURED else "counted"
            yield [each.experiment, f"{each.epochs:g}", f"{each.flops / 1e9:.1f}", kind, *spent]

    head = [
        "experiment",
        "epochs",
        "GFLOP an image",
        "step",
        *(f"{gpus} GPU{'s' * (gpus > 1)}" for gpus in GPUS),
    ]
    lines = [head, ["---", "--:", "--:", "---", *["--:"] * len(GPUS)], *rows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--price", type=float, default=3.0, help="dollars of a GPU for an hour")
    parser.add_argument("--priced", default="2026-11-26", help="the day of that price")
    parser.add_argument(
        "--network", type=float, default=50, help="GB/s between nodes, for each GPU"
    )
    parser.add_argument("--experiments", nargs="+", default=EXPERIMENTS)
    args = parser.parse_args(argv)
    costs, refused = [], []
    for name in dict.fromkeys([MEASURED, *args.experiments]):
        try:
            costs.append(cost(name))
        # something that needs numbers, and there are none
        except (NotImplementedError, RuntimeError) as error:
            refused.append(f"{name} ({str(error).splitlines()[0][:80]})")
    print(
        f"One H200 for {args.price:g} dollars an hour, a round number of {args.priced} and no "
        "offer of anybody.\n"
    )
    print(table(costs, args.price, args.network * 1e9))
    if refused:
        print(f"Not counted: {'; '.join(refused)}.")


if __name__ == "__main__":
    main()
