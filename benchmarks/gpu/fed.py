"""Does the input keep up with one GPU: images a second of worker processes, of a training step, and
of decoding on the GPU.

    PYTHONPATH=src:benchmarks/gpu python benchmarks/gpu/fed.py --out gpu_results --data <folder>
    --minutes 1.5

The folder holds imagenet_sample_1000/ or a tar file of it: pictures with a short side of 256, in
class folders. They are listed many times over by hard links, so that an epoch is long and every
byte is in the page cache: disks are not measured. Larger pictures are made from them, enlarged to a
short side of 375 (500 x 375 is ImageNet's usual size); they have fewer bytes a pixel than
originals. The official recipe (facebookresearch/mae, main_pretrain.py) is ImageFolder's Pillow
loader with RandomResizedCrop, flip, ToTensor and Normalize in a DataLoader of as many workers as
ours, one a core.
"""

import argparse
import csv
import io
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pictures import age, jpegs
from PIL import Image
from report import Report
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional as F

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.batch import blank
from mim.draw import keys
from mim.launch.resolvers import register_resolvers
from mim.loss.weighted_sum import WeightedSum

ROOT = Path(__file__).parents[2]
SHORT, LARGE = "short side 256", "short side 375"
OFFICIAL = "official recipe (Pillow)"


class Size(NamedTuple):
    """How much is done."""

    pictures: int
    """Different ones, at most."""
    copies: int
    """How often each is listed."""
    image_size: int
    encoder: str
    batch: int
    """Images of a training step."""
    workers: int
    seconds: float
    """Of each measurement, at most."""
    most_steps: int


CORES = len(os.sched_getaffinity(0))
SIZES = {
    "full": Size(400, 64, 224, "vit_base", 256, CORES, 3.0, 100),
    "toy": Size(8, 12, 32, "vit_pico", 8, 1, 0.1, 6),
}


def enlarged(content: bytes, short: int) -> bytes:
    """A JPEG enlarged to a short side, bicubic, in quality 95."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    scale = short / min(picture.size)
    size = round(picture.width * scale), round(picture.height * scale)
    picture.resize(size, Image.Resampling.BICUBIC).save(out := io.BytesIO(), "JPEG", quality=95)
    return out.getvalue()


class Pictures:
    """The same pictures as class folders and as shards, each listed many times.

    Args:
        name: what they are.
        contents: class and JPEG of each.
        copies: how often each is listed.
        folder: where to put them.
    """

    def __init__(self, name: str, contents: list[tuple[str, bytes]], copies: int, folder: Path):
        self.name, self.contents = name, [content for _, content in contents]
        self.root, self.shards = folder / "folders", folder / "shards"
        self.shards.mkdir(parents=True)
        classes = sorted({label for label, _ in contents})
        for label in classes:
            (self.root / label).mkdir(parents=True)
        for number, (label, content) in enumerate(contents):
            first = self.root / label / f"{number}_0.jpg"
            first.write_bytes(content)
            for copy in range(1, copies):
                os.link(first, self.root / label / f"{number}_{copy}.jpg")
        self._write_shards(contents, classes, copies)

    def _write_shards(
        self, contents: list[tuple[str, bytes]], classes: list[str], copies: int
    ) -> None:
        first = self.shards / "train-000.tar"
        with tarfile.open(first, "w") as tar:
            for number, (label, content) in enumerate(contents):
                for suffix, data in (("jpg", content), ("cls", str(classes.index(label)).encode())):
                    member = tarfile.TarInfo(f"{number:06d}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        for copy in range(1, copies):
            os.link(first, self.shards / f"train-{copy:03d}.tar")

    def words(self) -> str:
        """How many, and how large on average."""
        sizes = [Image.open(io.BytesIO(content)).size for content in self.contents]
        width, height = (statistics.mean(side) for side in zip(*sizes, strict=True))
        weight = statistics.mean(map(len, self.contents)) / 1000
        return (
            f"{self.name}: {len(sizes)} pictures, on average {width:.0f} x {height:.0f} and "
            f"{weight:.0f} kB"
        )


def forever(loader: Any) -> Iterator[int]:
    """Images of each batch, epoch after epoch."""
    for epoch in itertools.count():
        if hasattr(loader.sampler, "set_epoch"):
            loader.sampler.set_epoch(epoch)
        for batch in loader:
            yield len(batch[0])


def rate(batches: Iterable[int], skipped: int, seconds: float) -> float:
    """Images a second, after the first batches, which workers begin with."""
    images, start, now = 0, time.perf_counter(), 0.0
    for number, count in enumerate(batches):
        now = time.perf_counter()
        if number <= skipped:
            images, start = 0, now
        else:
            images += count
            if now - start >= seconds:
                break
    return images / (now - start)


def configured(*overrides: str) -> Any:
    """A part of a training run, as `train.py` would build it."""
    register_resolvers()
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        return compose("train", list(overrides))


def ours(kind: str, root: Path, size: Size, batch: int, *more: str) -> Any:
    """The training batches of one of this project's data modules."""
    settings = [
        f"data={kind}",
        f"data.root={root}",
        f"data.num_workers={size.workers}",
        f"data.batch_size={batch}",
    ]
    settings += ["data.cache=null"] if kind == "webdataset" else []
    data = instantiate(configured(*settings, f"data.image_size={size.image_size}", *more).data)
    data.setup()
    return data.train_dataloader()


def official(root: Path, size: Size, batch: int) -> Any:
    """The training batches of MAE's official recipe."""
    crop = transforms.RandomResizedCrop(
        size.image_size, scale=(0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC
    )
    normalise = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    steps = [crop, transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalise]
    return DataLoader(
        ImageFolder(str(root), transforms.Compose(steps)),
        batch_size=batch,
        shuffle=True,
        num_workers=size.workers,
        pin_memory=torch.cuda.is_available(),
        drop_last=True,
    )


def by_workers(pictures: Pictures, size: Size, seconds: float, report: Report) -> float:
    """Rows of what worker processes make; ours from a folder, in images a second."""
    shared = shutil.disk_usage("/dev/shm").free // (3 * size.workers * 4 * 3 * size.image_size**2)
    batch = max(1, min(64, len(pictures.contents), shared))
    makers: dict[str, Callable[[], Any]] = {
        OFFICIAL: lambda: official(pictures.root, size, batch),
        "mim, data=image_folder": lambda: ours("image_folder", pictures.root, size, batch),
        "mim, data=webdataset": lambda: ours("webdataset", pictures.shards, size, batch),
    }
    if torch.cuda.is_available():
        makers["mim, data.decoder=nvjpeg"] = lambda: ours(
            "image_folder", pictures.root, size, batch, "data.decoder=nvjpeg"
        )
    rates: dict[str, float] = {}
    for name, maker in makers.items():
        batches = forever(maker())
        rates[name] = rate(batches, 2 * size.workers, seconds)
        batches.close()  # and with it its workers
        report.row(
            pictures.name, name, size.workers, batch, rates[name], rates[name] / rates[OFFICIAL]
        )
    return rates["mim, data=image_folder"]


def step_alone(size: Size, device: torch.device, seconds: float) -> float:
    """Images a second of a training step of MAE on the same batch again and again, eager, bf16 on a
    GPU.
    """
    cfg = configured(
        "data=image_folder",
        f"data.image_size={size.image_size}",
        "model=mae",
        f"encoder={size.encoder}",
    )
    loss = WeightedSum.of_one(instantiate(cfg.loss))
    model = instantiate(cfg.model)(target_dims=loss.fit).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device.type == "cuda")
    place = torch.arange(size.batch, device=device)
    batch = blank(size.batch, (size.image_size, size.image_size), device)._replace(
        key=keys(0, 0, place)
    )
    batch = batch.with_image(torch.randn_like(batch.image))

    def steps() -> Iterator[int]:
        while True:
            for _ in range(4):  # between two looks at the clock
                with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                    made = model(batch)
                    value = loss(made.predictions, batch.image, made.split)
                value.backward()
                optimizer.step()
                optimizer.zero_grad()
            if device.type == "cuda":
                torch.cuda.synchronize()
            yield 4 * size.batch

    return rate(steps(), 1, seconds)


def trained(
    pictures: Pictures, size: Size, steps: int, seconds: float, scratch: Path
) -> dict[str, float]:
    """The last numbers that a real training run logged.

    Raises:
        RuntimeError: where it failed, with what it said.
    """
    line = [
        sys.executable,
        str(ROOT / "train.py"),
        "data=image_folder",
        f"data.root={pictures.root}",
        "model=mae",
    ]
    line += [
        f"encoder={size.encoder}",
        f"data.image_size={size.image_size}",
        f"data.batch_size={size.batch}",
    ]
    line += [
        f"data.num_workers={size.workers}",
        f"steps={steps}",
        "warmup_epochs=0",
        "callback=[throughput,results]",
    ]
    line += [f"trainer.log_every_n_steps={steps}", f"hydra.run.dir={scratch / 'run'}"]
    try:
        run = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{steps} steps of train.py took more than {seconds:.0f} s") from error
    if run.returncode:
        raise RuntimeError(" ".join((run.stdout + run.stderr).split())[-300:])
    with (scratch / "run" / "metrics.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row.get("throughput/images_per_second")]
    return {name: float(value) for name, value in rows[-1].items() if value and name}


def training(
    pictures: Pictures, size: Size, made: float, end: float, scratch: Path, report: Report
) -> None:
    """What a training step takes, alone and fed by workers."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    report.table(
        f"MAE with {size.encoder}, {size.image_size} pixels, {size.batch} images a step, eager, "
        f"{device.type}",
        [
            "what",
            "images/s",
            "share of time waiting, by callback/throughput",
            "slower than the step alone by",
        ],
    )
    alone = step_alone(size, device, size.seconds / 2)
    report.row("a step alone, on one batch", alone, 0.0, 0.0)
    torch.cuda.empty_cache()
    steps = max(6, min(size.most_steps, int(7 * min(alone, made) / size.batch)))
    found = trained(pictures, size, steps, max(45.0, end - age() - 20), scratch)
    fed, waited = found["throughput/images_per_second"], found["throughput/data_wait"]
    report.row(
        f"train.py, {steps} steps, data=image_folder, {pictures.name}", fed, waited, 1 - fed / alone
    )
    report.note(f"Workers make {made / alone:.2f} times what the step alone takes.")


def by_device(
    pictures: Pictures, size: Size, device: torch.device, seconds: float, report: Report
) -> None:
    """Rows of decoding by `torchvision.io.decode_jpeg` on a device, alone, and with MAE's crops
    there.
    """
    contents = [
        torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in pictures.contents
    ]
    together = min(64, len(contents))
    groups = [
        contents[start : start + together]
        for start in range(0, len(contents) - together + 1, together)
    ]
    view = CropFlip(TorchvisionBoxes())

    def decoded(group: list[Tensor]) -> list[Tensor]:
        images = decode_jpeg(group, mode=ImageReadMode.RGB, device=device)
        assert isinstance(images, list)
        return images

    def cropped(images: list[Tensor], turn: int) -> Tensor:
        cut = view(
            keys(0, turn, torch.arange(len(images))),
            torch.tensor([image.shape[1:] for image in images]),
        )
        crops = [
            F.resize(
                image[:, y1:y2, x1:x2],
                [size.image_size] * 2,
                transforms.InterpolationMode.BICUBIC,
                antialias=True,
            )
            for image, (x1, y1, x2, y2) in zip(images, cut.box.tolist(), strict=True)
        ]
        batch = torch.stack(crops)
        return torch.where(cut.flip.to(device)[:, None, None, None], batch.flip(-1), batch)

    def batches(crop: bool) -> Iterator[int]:
        for turn, group in enumerate(itertools.cycle(groups)):
            images = decoded(group)
            if crop:
                cropped(images, turn)
            if device.type == "cuda":
                torch.cuda.synchronize()
            yield len(images)

    for what, crop in (("decode", False), ("decode, crop and resize", True)):
        report.row(pictures.name, what, together, rate(batches(crop), 2, seconds))


def attempt(what: str, do: Callable[[], Any], report: Report) -> Any:
    """What comes out, or None and a note of why nothing did: the next measurement begins either
    way.
    """
    try:
        return do()
    except Exception as error:
        report.note(f"{what} failed: {type(error).__name__}: {' '.join(str(error).split())[-300:]}")
        return None


def main(argv: list[str] | None = None) -> None:
    """Print tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=1.5, help="of this process")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--data", type=Path, help="with imagenet_sample_1000/ or a tar file of it")
    args = parser.parse_args(argv)
    size, end, report = SIZES[args.size], 60 * args.minutes, Report(args.out / "fed.json")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    small = list(itertools.islice(jpegs(args.data, "imagenet_sample_1000"), size.pictures))
    labelled = [(Path(path).parent.name, content) for path, content in small]
    with ThreadPoolExecutor(size.workers) as pool:
        large = list(pool.map(lambda item: (item[0], enlarged(item[1], 375)), labelled))
    with tempfile.TemporaryDirectory() as scratch:
        sets = [
            Pictures(name, contents, size.copies, Path(scratch) / name.replace(" ", "_"))
            for name, contents in ((SHORT, labelled), (LARGE, large))
        ]
        begun = age()
        # six makers, two decoders; a run of 30 s
        seconds = min(size.seconds, max(0.1, (end - begun - 35) / 8))
        report.note(
            f"{'; '.join(pictures.words() for pictures in sets)}, enlarged from the former. Each "
            f"is listed {size.copies} times by "
            f"hard links and the page cache is warm; {seconds:.1f} s a pipeline; ready after "
            f"{begun:.0f} s. Ours ends "
            "with uint8 crops: flips and normalisation are left to the device."
        )
        caption = (
            f"Images a second of worker processes on {CORES} cores, random crops to "
            f"{size.image_size} pixels"
        )
        columns = [
            "pictures",
            "pipeline",
            "workers",
            "images a batch",
            "images/s",
            "times official",
        ]
        report.table(caption, columns)
        made = attempt(SHORT, lambda: by_workers(sets[0], size, seconds, report), report)
        if made:
            attempt(
                "training",
                lambda: training(sets[0], size, made, end, Path(scratch), report),
                report,
            )
        report.table(f"{caption}, larger pictures", columns)
        if args.size == "toy" or age() < end - 4 * seconds:
            attempt(LARGE, lambda: by_workers(sets[1], size, seconds, report), report)
        report.table(
            f"torchvision.io.decode_jpeg on {device.type}, lists of files",
            ["pictures", "what", "list", "images/s"],
        )
        for pictures in sets:
            attempt(
                f"decoding, {pictures.name}",
                lambda found=pictures: by_device(found, size, device, seconds / 4, report),
                report,
            )


if __name__ == "__main__":
    main()
