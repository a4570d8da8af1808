"""Time a step of fine-tuning beside timm's own training way: forward, loss of mixed images,
backward, AdamW with layer decay.

    python benchmarks/finetune.py --encoder vit_small --batch 16
    python benchmarks/finetune.py --encoder vit_tiny --image 32 --patch 4 --batch 64 --precision 32

timm's way is what its train.py does with --layer-decay, --mixup and --amp: its VisionTransformer,
SoftTargetCrossEntropy and create_optimizer_v2. Both have the same architecture, images, mixup and
rates of layers; numbers of parameters and first losses are printed to show it. They take turns in
one process, in an order drawn anew each round; ratios are taken within a round.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import timm
import torch
from hydra.utils import instantiate
from timm.data.mixup import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.models.vision_transformer import VisionTransformer
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

import mim
from mim.batch import Batch

CLASSES = 100
DECAY = 0.65
RATE = 1e-3


class Way:
    """Way to fine-tune, ready to step.

    Args:
        name: for the table.
        model: whose parameters are trained.
        loss: of images (B, 3, H, W) and shares of classes (B, classes).
        optimizer: of the parameters.
        bf16: whether products are in bf16.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        bf16: bool,
    ):
        self.name, self.loss, self.optimizer, self.bf16 = name, loss, optimizer, bf16
        self.mixup = Mixup(
            mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1, num_classes=CLASSES
        )
        self.parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.first_loss = 0.0

    def step(self, image: Tensor, label: Tensor) -> float:
        """One step -> its loss."""
        mixed, target = self.mixup(image.clone(), label)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self.loss(mixed, target)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def ours(encoder: str, image: int, patch: int, bf16: bool) -> Way:
    """This project's task, model and groups."""
    settings = [
        "task=finetune",
        f"encoder={encoder}",
        f"encoder.patch_size={patch}",
        "data=imagenet",
        "hydra.run.dir=unused",
    ]
    cfg = mim.compose(
        *settings,
        f"data.image_size={image}",
        f"task.layer_decay={DECAY}",
        "pool=mean",
        f"lr={RATE}",
    )
    task = instantiate(cfg.task)(num_classes=CLASSES)
    optimizer = task.optimizer(task.parameter_groups(), lr=RATE)

    def loss(image: Tensor, target: Tensor) -> Tensor:
        return task.objective(Batch.of(image), target)

    return Way("mim", task.model.train(), loss, optimizer, bf16)


def theirs(encoder: str, image: int, patch: int, bf16: bool) -> Way:
    """timm's train.py, without its loader."""
    sizes = mim.compose(f"encoder={encoder}", "hydra.run.dir=unused").encoder
    model = VisionTransformer(
        image,
        patch,
        num_classes=CLASSES,
        global_pool="avg",
        embed_dim=sizes.width,
        depth=sizes.depth,
        num_heads=sizes.heads,
    )
    optimizer = create_optimizer_v2(model, "adamw", lr=RATE, weight_decay=0.05, layer_decay=DECAY)
    soft = SoftTargetCrossEntropy()
    return Way(
        f"timm {timm.__version__}",
        model.train(),
        lambda x, target: soft(model(x), target),
        optimizer,
        bf16,
    )


def main(argv: list[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="vit_small")
    parser.add_argument("--image", type=int, default=224)
    parser.add_argument("--patch", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", choices=["32", "bf16"], nargs="+", default=["bf16"])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    random.seed(args.seed)
    print(
        f"{args.encoder}/{args.patch}, {args.image} pixels, batch {args.batch}, CPU, "
        f"{torch.get_num_threads()} threads\n"
    )
    print(
        "| fine-tuning | precision | parameters | first loss | ms a step | time over ours "
        "(quartiles) |"
    )
    print("|---|---|--:|--:|--:|--:|")
    for precision in args.precision:
        torch.manual_seed(args.seed)
        image = torch.randn(args.batch, 3, args.image, args.image)
        label = torch.randint(CLASSES, (args.batch,))
        ways = [
            build(args.encoder, args.image, args.patch, precision == "bf16")
            for build in (ours, theirs)
        ]
        for way in ways:
            way.first_loss = way.step(image, label)
        seconds: dict[str, list[float]] = {way.name: [] for way in ways}
        for _ in range(args.rounds):
            for way in random.sample(ways, len(ways)):
                start = time.perf_counter()
                way.step(image, label)
                seconds[way.name].append(time.perf_counter() - start)
        for way in ways:
            spent = seconds[way.name]
            ratios = [taken / own for taken, own in zip(spent, seconds[ways[0].name], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
            cells = [way.name, precision, f"{way.parameters:,}", f"{way.first_loss:.3f}"]
            cells += [
                f"{1e3 * statistics.median(spent):.0f}",
                f"{middle:.2f} ({low:.2f} to {high:.2f})",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
