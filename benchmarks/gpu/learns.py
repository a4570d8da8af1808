"""What MAE, AMT, SBAM and EMAE learn from CIFAR-10 by equal compute: k-NN and linear top-1 of
ViT-Ti/4.

    PYTHONPATH=src:benchmarks/gpu python benchmarks/gpu/learns.py --out gpu_results --data <folder>
    --minutes 3.5

The folder holds cifar10_images/{train,test}/<class>/ or a tar file of it. The arms take turns in
one process, and in each turn every arm may spend the same floating-point operations (matrix
products and attention; backward costs two forwards), so all have spent the same when the time is
over. Learning rate and mask schedules follow the share of the time that has passed. All images,
crops and masks are made on the device, by the keys and the functions that training uses. EMAE takes
a quarter of the others' images a step and evaluates as many masks. AMT masks at random for the
first tenth, then by the attention that it had after 1/10, 1/3 and 2/3 of the training (the paper
looks every 40 epochs, more than there are here); its looks are counted. SBAM pays for the padding
that its ratios need. The features are mean patch tokens of clean images.
"""

import argparse
import itertools
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pictures import age, jpegs
from report import Report
from timm.optim import param_groups_weight_decay
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mim.analysis.cost import forward_flops
from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.resample import resized_crop
from mim.batch import Batch, View
from mim.data.decode import decode
from mim.data.sampler import ShuffledRows
from mim.draw import keys
from mim.encoder.encoder import cls_attention
from mim.evaluate.classify import top1
from mim.evaluate.features import Features
from mim.evaluate.knn import KNN
from mim.evaluate.linear import Linear
from mim.launch.resolvers import register_resolvers
from mim.loss.weighted_sum import WeightedSum
from mim.masker.attention_store import AttentionStore, attention_weights
from mim.masker.scheduled import Scheduled
from mim.optim.schedule import WarmupCosine
from mim.part import Progress

CONFIGS = Path(__file__).parents[2] / "configs"
PATCH, PARTS = 4, 4
LOOKS = (1 / 10, 1 / 3, 2 / 3)
WHOLE = 1_000_000  # parts of a training that is measured in operations
"""Shares of the training at which AMT looks at all images."""
ARMS = {
    "MAE": (["masker=random"], 1),
    "AMT": (["masker=scheduled", "masker.at_epoch=1"], 1),
    "SBAM": (["masker=sbam"], 1),
    f"EMAE, K = {PARTS}": (["masker=emae", "loss=emae"], PARTS),
}
"""By name: settings, and by what the images of a step are divided."""

COLUMNS = [
    "arm",
    "peak lr",
    "images a step",
    "steps",
    "epochs",
    "images seen",
    "seconds",
    "GFLOP an image",
    "PFLOP",
]
COLUMNS += ["loss of the last step"]


class Size(NamedTuple):
    """How much is done."""

    encoder: str
    batch: int
    """Images a step; EMAE takes a quarter."""
    steps: int
    """Of MAE, as many as whose operations each arm may spend in a turn."""
    probe_epochs: int


SIZES = {"full": Size("vit_tiny", 512, 10, 20), "toy": Size("vit_pico", 16, 1, 1)}


class Images(NamedTuple):
    """Decoded pictures, on the device that trains."""

    image: Tensor
    """(N, 3, H, W) uint8."""
    label: Tensor
    """(N,) int64."""


def load(data: Path | None, device: torch.device) -> tuple[Images, Images, int]:
    """Training and test pictures and the number of classes, decoded by all cores."""
    found = list(jpegs(data, "cifar10_images"))
    parts = [Path(path).parts for path, _ in found]
    names = sorted({part[1] for part in parts})
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        image = torch.stack(
            list(
                pool.map(
                    lambda file: decode(torch.frombuffer(bytearray(file[1]), dtype=torch.uint8)),
                    found,
                )
            )
        )
    label = torch.tensor([names.index(part[1]) for part in parts])
    is_train = torch.tensor([part[0] == "train" for part in parts])
    train, test = (
        Images(image[rows].to(device), label[rows].to(device)) for rows in (is_train, ~is_train)
    )
    return train, test, len(names)


class Scale:
    """Pixels in 0..255 -> mean 0, deviation 1 in each channel of the training images."""

    def __init__(self, image: Tensor):
        deviation, mean = torch.std_mean(image.float(), dim=(0, 2, 3))
        self.mean, self.deviation = mean[:, None, None], deviation[:, None, None]

    def __call__(self, image: Tensor) -> Tensor:
        return (image.float() - self.mean) / self.deviation


def batches(train: Images, scale: Scale, batch: int, seed: int) -> Iterator[Batch]:
    """Augmented batches, epoch after epoch: the order, crops and keys that `train.py` would
    take.
    """
    rows, view = ShuffledRows(len(train.image), batch, seed), CropFlip(TorchvisionBoxes())
    device, side = train.image.device, train.image.shape[-1]
    for epoch in itertools.count():
        key = keys(seed, epoch, torch.arange(len(train.image))).to(device)
        order = rows.order(epoch).to(device)
        pixels, mirrored, _ = view(
            key, torch.tensor([[side, side]], device=device).expand(len(key), 2)
        )
        for start in range(0, len(rows) * batch, batch):
            here = slice(start, start + batch)
            index, box, flip = order[here], pixels[here] / side, mirrored[here]
            image = resized_crop(train.image[index], box, flip, side).clamp(0, 255)
            yield Batch((View(scale(image), box, flip),), train.label[index], index, key[here])


class Arm:
    """One way to train, and what it has spent.

    Args:
        name: one of `ARMS`.
        size: of encoder and batch.
        train: the training images.
        scale: normalises them.
        seed: of weights, order, crops and masks.
        lr: peak learning rate.
    """

    def __init__(self, name: str, size: Size, train: Images, scale: Scale, seed: int, lr: float):
        chosen, divided = ARMS[name]
        side, self.train, self.scale, self.peak = train.image.shape[-1], train, scale, lr
        self.name, self.batch = name, size.batch // divided
        settings = [
            "data=image_folder",
            f"data.image_size={side}",
            "model=mae",
            f"encoder={size.encoder}",
        ]
        register_resolvers()
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            cfg = compose("train", [*settings, f"encoder.patch_size={PATCH}", *chosen])
        torch.manual_seed(seed)
        self.loss = WeightedSum.of_one(instantiate(cfg.loss))
        self.model: Any = (
            instantiate(cfg.model)(target_dims=self.loss.fit).to(train.image.device).train()
        )
        self.optimizer = torch.optim.AdamW(
            param_groups_weight_decay(self.model, 0.05),
            lr=lr,
            betas=(0.9, 0.95),
            fused=train.image.is_cuda,
        )
        self.batches = batches(train, scale, self.batch, seed)
        self.schedule = WarmupCosine(warmup_epochs=0.1)
        self.steps, self.looks, self.flops, self.seconds = 0, 0, 0.0, 0.0
        self.last = torch.tensor(math.nan)
        self.image_flops = 3 * self.counted()

    def counted(self) -> float:
        """Floating-point operations of one image's forward pass as the masker is now, counted on a
        CPU without fused kernels.
        """
        with sdpa_kernel(SDPBackend.MATH):
            return forward_flops(deepcopy(self.model).cpu().eval(), torch.device("cpu"))

    def turn(self, share: float, granted: float) -> None:
        """Train until so many operations are spent, as one does after a share of the training."""
        start = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak * self.schedule(
                Progress(round(share * WHOLE), WHOLE, WHOLE), self.peak
            )
        stores = [part for part in self.model.modules() if isinstance(part, AttentionStore)]
        if stores and self.looks < len(LOOKS) and share >= LOOKS[self.looks]:
            self.look(stores)
        while self.flops < granted:
            batch = next(self.batches)
            with autocast(batch.image.device):
                made = self.model(batch)
                loss = self.loss(made.predictions, batch.image, made.split)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.last = loss.detach()
            self.steps += 1
            self.flops += self.batch * self.image_flops
        synchronise(self.train.image.device)
        self.seconds += time.perf_counter() - start

    @torch.no_grad()
    def look(self, stores: list[AttentionStore]) -> None:
        """Keep where the encoder looks in each training image, and mask by it from here on."""
        encoder = self.model.encoder.eval()
        maps = []
        for image in self.train.image.split(2048):
            with autocast(image.device):
                row = cls_attention(encoder, self.scale(image))
            maps.append(attention_weights(row, stores[0].heads).half())
        encoder.train()
        for store in stores:
            store.maps = torch.cat(maps).unflatten(1, encoder.geometry.grid)
        on_cpu, two = deepcopy(encoder).cpu(), self.train.image[:2].cpu().float()
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            cls_attention(on_cpu, two)
        self.flops += counter.get_total_flops() / len(two) * len(self.train.image)
        self.looks += 1
        for part in self.model.modules():
            if isinstance(part, Scheduled):
                part.begin_epoch(1)
        self.image_flops = 3 * self.counted()


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


@torch.no_grad()
def features(encoder: Any, images: Images, scale: Scale) -> Features:
    """The mean patch token of each clean image."""
    encoder.eval()
    parts = []
    for image in images.image.split(2048):
        with autocast(image.device):
            parts.append(encoder(scale(image))[:, 1:].mean(1).float())
    return Features(torch.cat(parts), images.label)


class Judges:
    """k-NN (k = 20) and a linear probe on frozen features -> two top-1 accuracies in per cent."""

    def __init__(self, train: Images, test: Images, classes: int, scale: Scale, epochs: int):
        self.train, self.test, self.classes, self.scale = train, test, classes, scale
        self.judges = (KNN(k=20, temperature=0.07), Linear(epochs=epochs))

    def __call__(self, encoder: Any) -> list[float]:
        known, asked = (features(encoder, images, self.scale) for images in (self.train, self.test))
        return [
            100 * max(top1(judge(known, asked.feature, self.classes), asked.label).values())
            for judge in self.judges
        ]


def contest(arms: list[Arm], size: Size, end: float, report: Report) -> list[Arm]:
    """Train in turns until this process is `end` seconds old; the arms that did not fail."""
    quantum = size.steps * arms[0].batch * arms[0].image_flops
    start = age()
    for turn in itertools.count(1):
        share = min(1.0, (age() - start) / max(1e-3, end - start))
        if share >= 1 and turn > 2:
            return arms
        for arm in list(arms):
            try:
                arm.turn(share, turn * quantum)
            except Exception as error:  # the other arms may do well
                report.note(
                    f"{arm.name} failed after {arm.steps} steps: "
                    f"{' '.join(str(error).split())[:300]}"
                )
                arms.remove(arm)


def main(argv: list[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3.5, help="of this process")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--data", type=Path, help="with cifar10_images/ or a tar file of it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--lr", type=float, default=1.5e-3, help="peak learning rate, the same for all"
    )
    args = parser.parse_args(argv)
    size, end = SIZES[args.size], 60 * args.minutes
    report = Report(args.out / "learns.json")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    train, test, classes = load(args.data, device)
    scale = Scale(train.image)
    loaded = age()
    arms = [Arm(name, size, train, scale, args.seed, args.lr) for name in ARMS]
    judges = Judges(train, test, classes, scale, size.probe_epochs)
    before = age()
    untrained = judges(arms[0].model.encoder)
    judging = age() - before
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    report.table(
        f"{size.encoder}/{PATCH} on {len(train.image):,} images, equal floating-point operations, "
        f"{where}, seed {args.seed}",
        [*COLUMNS, "k-NN top-1, %", "linear top-1, %"],
    )
    report.row("untrained", 0.0, 0, 0, 0.0, 0, 0.0, 0.0, 0.0, 0.0, *untrained)
    left = contest(arms, size, end - 5 - 1.3 * judging * len(arms), report)
    for arm in left:
        seen = arm.steps * arm.batch
        spent = [arm.seconds, arm.image_flops / 1e9, arm.flops / 1e15, float(arm.last)]
        if not math.isfinite(spent[-1]):
            report.note(f"{arm.name} diverged")
            continue
        accuracies = judges(arm.model.encoder)
        report.row(
            arm.name,
            args.lr,
            arm.batch,
            arm.steps,
            seen / len(train.image),
            seen,
            *spent,
            *accuracies,
        )
    report.note(
        f"Images were there after {loaded:.0f} s, judging one encoder took {judging:.1f} s. One "
        "seed; losses of EMAE (which adds "
        "consistency) and of other masks are not comparable; the linear probe has "
        f"{size.probe_epochs} epochs. GFLOP of an image: "
        "forward and backward of a step at the end, without the looks."
    )


if __name__ == "__main__":
    main()
