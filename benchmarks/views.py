"""Time one step of MoCo v3, MSN, DINO and iBOT (forward, backward, optimiser, teacher), beside
lightly's modules.

    pip install -e '.[bench]'
    python benchmarks/views.py --batch 16 --small 6

Both get the same views, encoder, heads and numbers of prototypes, and one optimiser; parameters are
printed to show it (ours trains its positions). They take turns in one process, in an order drawn
anew each round. Times are of the processor, of all threads together, because other programs use it
too. Ratios are taken within a round, and their median and quartiles go into a Markdown table, with
the load of the machine beside it. Operations of matrix products and attention are counted in one
more step.

lightly's are put together as its examples do, and some of its work is other work. Masks are drawn
in the step by both, of half of the large views and of as many patches. lightly's teacher projects
masked patches alone, and the centre follows their mean (DINOv2); ours projects all patches, because
in iBOT's paper and release the centre follows the mean of all. lightly's loss of MoCo v3 tells
views from other queries as well.
"""

import argparse
import os
import random
import statistics
import warnings
from collections.abc import Callable
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from turns import Contestant, compare
from view_peers import PEERS
from view_sizes import Sizes

from mim.batch import Batch, View
from mim.draw import keys
from mim.part import Progress

CONFIGS = Path(__file__).parents[1] / "configs"


class Ours(nn.Module):
    """A method as its config builds it: student, loss and teacher."""

    def __init__(self, method: str, sizes: Sizes):
        super().__init__()
        given = [f"model={method}", "encoder=vit_small", "trainer=cpu", "name=bench"]
        given += [
            f"encoder.{key}={value}"
            for key, value in zip(("width", "depth", "heads"), sizes.encoder, strict=True)
        ]
        given += [
            f"data.image_size={sizes.image}",
            f"encoder.patch_size={sizes.patch}",
            "+encoder.positions=learned",
        ]
        given += [f"model.head.hidden={sizes.hidden}"]
        given += {
            "moco_v3": [f"model.predictor.hidden={sizes.hidden}", "model.frozen_projection=false"],
            "msn": ["masker.partition.ratio=0.3"],
        }.get(method, [f"loss.term.cls.out={sizes.prototypes}"])
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            cfg = compose("train", given)
        task: Any = instantiate(cfg.task)
        self.model, self.loss, self.teacher = task.model, task.loss, task.teacher
        self.progress = Progress(0, 1, 1)

    def forward(self, large: list[Tensor], small: list[Tensor]) -> Tensor:
        count = len(large[0])
        place = torch.arange(count)
        box, flip = large[0].new_zeros(count, 4), place < 0
        views = tuple(View(image, box, flip) for image in (*large, *small))
        batch = Batch(views, place, place, keys(0, 0, place))
        terms, _ = self.loss.of_step(self.model, batch, self.teacher)
        return self.loss.weigh(terms)

    def follow(self) -> None:
        """Average the teacher, and move centres."""
        self.teacher.after_step(self.model, self.progress)
        for part in self.loss.modules():
            if part is not self.loss and isinstance(getattr(part, "centre", None), Tensor):
                part.after_step(self.model, self.progress)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", choices=list(PEERS), nargs="+", default=list(PEERS))
    parser.add_argument("--encoder", default="192x4x3", help="width x depth x heads")
    parser.add_argument("--image", type=int, default=64)
    parser.add_argument("--patch", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument(
        "--small", type=int, default=4, help="small views of half the side, for all but MoCo v3"
    )
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--prototypes", type=int, default=4096)
    parser.add_argument("--precision", choices=["32", "bf16"], nargs="+", default=["32", "bf16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    random.seed(args.seed)
    torch.set_num_threads(args.threads)
    width, depth, heads = map(int, args.encoder.split("x"))
    sizes = Sizes(args.image, args.patch, (width, depth, heads), args.hidden, args.prototypes)
    print(
        f"encoder {args.encoder}, {args.image} pixels in patches of {args.patch}, "
        f"batch {args.batch}, 2 large and",
        end=" ",
    )
    print(
        f"{args.small} small views, CPU, {args.threads} threads, torch {torch.__version__}, "
        f"seed {args.seed},",
        end=" ",
    )
    print(f"{args.rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    print(
        "| method | precision | | parameters | first loss | products, GFLOP | ms / step "
        "| time over ours (quartiles) |"
    )
    print("|---|---|---|--:|--:|--:|--:|--:|")
    for method, precision in product(args.method, args.precision):
        torch.manual_seed(args.seed)
        shape, half = (args.batch, 3, args.image, args.image), args.image // 2
        views = (
            [torch.randn(shape) for _ in range(2)],
            [torch.randn(args.batch, 3, half, half) for _ in range(args.small)],
        )
        if method == "moco_v3":
            views[1].clear()
        builders: dict[str, Callable[[], Any]] = {
            "ours": lambda: Ours(method, sizes),  # noqa: B023  # called in this turn
            f"lightly {version('lightly')}": lambda: PEERS[method](sizes),  # noqa: B023
        }
        contestants = {
            name: Contestant(build(), views, precision == "bf16")
            for name, build in builders.items()
        }
        seconds = compare(contestants, args.rounds)
        for name, c in contestants.items():
            ratios = [
                theirs / ours for theirs, ours in zip(seconds[name], seconds["ours"], strict=True)
            ]
            low, middle, high = statistics.quantiles(ratios, n=4)
            with FlopCounterMode(display=False) as count:
                c.step()
            about = f"{method} | {precision} | {name} | {c.parameters:,} | {c.first_loss:.3f}"
            about += f" | {count.get_total_flops() / 1e9:.2f}"
            print(
                f"| {about} | {1e3 * statistics.median(seconds[name]):.1f} "
                f"| {middle:.2f} ({low:.2f} to {high:.2f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
