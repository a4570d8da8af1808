"""Does going on from weights on images of one's own make better features? What docs/your_images.md
has of it, over several seeds.

    python benchmarks/own_images.py --data <folder> --out <folder> --seeds 0 1 2 --threads 2

`--data` holds cifar10_images/{train,test}/<class>/ and imagenet_sample_1000/train/<wnid>/. A small
ViT is pre-trained on the vehicles of CIFAR-10, in place of public weights, and goes on with the
animals, or with pictures of ImageNet in groups, at several rates. Each is judged by k-NN and by a
linear layer, before and after. The same command goes on where it was stopped, and prints the table
of what there is at its end. A seed takes about half an hour on
two cores.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mim.launch.errors import Interrupted
from mim.launch.signals import listen
from mim.sweep.fresh import Task, run_all
from mim.sweep.job import read_job
from mim.sweep.process import how_to_begin

VEHICLES, ANIMALS = (
    ("airplane", "automobile", "ship", "truck"),
    ("bird", "cat", "deer", "dog", "frog", "horse"),
)
GROUPS = {  # places in the order of ImageNet's 1,000 classes
    "birds": (range(7, 25), range(80, 101), range(127, 147)),
    "dogs": (range(151, 269),),
    "fish_and_reptiles": (range(7), range(25, 69), range(389, 398)),
    "things": (range(398, 1000),),
    "other_animals": (range(398),),
}
SETS = {"1,002 animals": 200, "10,002 animals": 20, "750 of ImageNet": 200}  # epochs
ARMS = {
    "5e-4, a third of the stand-in's": ["base_lr=5e-4"],
    "5e-5, the recipe's own": ["base_lr=5e-5"],
    "5e-4, pulled to its start": ["base_lr=5e-4", "weight_decay=0", "decay_to_start=0.05"],
}
SMALL = ["data=image_folder", "data.image_size=32", "data.in_memory=true", "data.num_workers=0"]
TRAINED = [
    *SMALL,
    "data.batch_size=256",
    "encoder=vit_pico",
    "callback=[announce,throughput,interruption,checkpoint,results]",
    "logger=[csv]",
    "trainer.accelerator=cpu",
    "watch_every_n_epochs=1",
]
JUDGES = ("knn", "linear")


class Job(NamedTuple):
    """Job: a command, and the folder that it leaves its results in.

    Attributes:
        folder: of its results.
        program: train or evaluate.
        overrides: what the command line says.
        after: folder of the training that it needs.
    """

    folder: Path
    program: str
    overrides: list[str]
    after: Path | None = None


def pictures(data: Path, out: Path) -> dict[str, Path]:
    """Folders of links to the pictures, train/<class>/ and val/<class>/, by name."""
    cifar, imagenet = data / "cifar10_images", data / "imagenet_sample_1000" / "train"
    names = {"vehicles": out / "vehicles"} | {name: out / folder_of(name) for name in SETS}
    link(cifar, VEHICLES, names["vehicles"], 5000, 250)
    link(cifar, ANIMALS, names["1,002 animals"], 167, 500)
    link(cifar, ANIMALS, names["10,002 animals"], 1667, 500)
    for place, wnid in enumerate(sorted(path.name for path in imagenet.iterdir())):
        group = next(name for name, places in GROUPS.items() if any(place in p for p in places))
        (picture,) = (imagenet / wnid).iterdir()
        split = "val" if place % 4 == 3 else "train"
        link_one(picture, names["750 of ImageNet"] / split / group / picture.name)
    return names


def link(cifar: Path, classes: tuple[str, ...], out: Path, train: int, held_out: int) -> None:
    """The first so many pictures of each class."""
    for name in classes:
        for source, split, count in (("train", "train", train), ("test", "val", held_out)):
            for picture in sorted((cifar / source / name).iterdir())[:count]:
                link_one(picture, out / split / name / picture.name)


def folder_of(name: str) -> str:
    """Name of a set as a path has it: a comma would be a list of Hydra's."""
    return name.replace(" ", "_").replace(",", "")


def link_one(picture: Path, place: Path) -> None:
    if not place.is_symlink():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(picture.resolve())


def jobs_of(seed: int, sets: dict[str, Path], out: Path) -> Iterator[Job]:
    """All jobs of a seed, in an order in which they can be run."""
    base, said = out / f"seed{seed}", f"seed={seed}"
    schedule = ["epochs=20", "warmup_epochs=2", "base_lr=1.5e-3"]
    root = f"data.root='{sets['vehicles']}'"
    start = Job(base / "vehicles", "train", [*TRAINED, root, *schedule, said])
    yield start
    for name, epochs in SETS.items():
        yield from judged(base / sets[name].name / "before", start.folder, sets[name], seed)
        for number, arm in enumerate(ARMS.values()):
            folder = base / sets[name].name / f"arm{number}"
            settings = ["experiment=own/continue", *TRAINED, *arm, f"epochs={epochs}", said]
            settings += [f"checkpoint='{start.folder}'", f"data.root='{sets[name]}'"]
            yield Job(folder / "run", "train", settings, start.folder)
            yield from judged(folder, folder / "run", sets[name], seed)


def judged(folder: Path, run: Path, root: Path, seed: int) -> Iterator[Job]:
    """What judges a run on a set."""
    for judge in JUDGES:
        settings = [f"checkpoint='{run}'", f"evaluate={judge}", *SMALL, f"data.root='{root}'"]
        yield Job(folder / judge, "evaluate", [*settings, f"seed={seed}"], run)


def done(folder: Path) -> bool:
    """Whether a job has ended well."""
    return (folder / "results.json").exists() and read_job(folder, []).status == "finished"


def task(job: Job) -> Task:
    """A job as its process is begun; a training goes on where it was."""
    more = [f"hydra.run.dir='{job.folder}'", *(["resume=auto"] if job.program == "train" else [])]
    command = [sys.executable, "-m", f"mim.program.{job.program}", *job.overrides, *more]
    label = " ".join(job.folder.parts[-3:])
    return Task(job.folder, command, job.overrides, label, 0)


def run(jobs: list[Job], minutes: float) -> int:
    """Run what has not ended -> exit code: 1 where one failed, 85 where time was over."""
    listen()
    begin, end = how_to_begin(None), time.monotonic() + 60 * minutes
    for job in jobs:
        if done(job.folder):
            continue
        if time.monotonic() > end:
            return 85
        try:
            run_all([task(job)], 1, [], [f"{judge}/top1" for judge in JUDGES], begin)
        except Interrupted:
            return 85
        if not done(job.folder):
            print(f"{job.folder}/output.log says why it failed", file=sys.stderr)
            return 1
    return 0


def top1(folder: Path, judge: str) -> float | None:
    """What a judge found, in per cent; null where it has not ended."""
    file = folder / judge / "results.json"
    if not done(folder / judge):
        return None
    return 100 * float(json.loads(file.read_text())[f"{judge}/top1"])


def table(out: Path, sets: dict[str, Path], seeds: list[int]) -> str:
    """Mean accuracy after going on, and its gain over the weights with its standard deviation over
    seeds; points.
    """
    lines = ["| own images | `base_lr` | seeds | k-NN | gain | linear | gain |", "|---" * 7 + "|"]
    for name in SETS:
        for number, arm in enumerate(ARMS):
            cells, least = [], len(seeds)
            for judge in JUDGES:
                folders = [out / f"seed{seed}" / sets[name].name for seed in seeds]
                pairs = [
                    (top1(f / f"arm{number}", judge), top1(f / "before", judge)) for f in folders
                ]
                found = [(after, before) for after, before in pairs if None not in (after, before)]
                least = min(least, len(found))
                gain = [after - before for after, before in found]
                after = f"{statistics.mean(a for a, _ in found):.1f}" if found else "not measured"
                spread = f" ± {statistics.stdev(gain):.1f}" if len(gain) > 1 else ""
                cells += [
                    after,
                    f"{statistics.mean(gain):+.1f}{spread}" if gain else "not measured",
                ]
            lines.append(f"| {name} | {arm} | {least} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run what is missing and print the table; exit code 0 where nothing is left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="of pictures, runs and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, help="of a job; else torch's own number")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="begin nothing after so many"
    )
    args = parser.parse_args(argv)
    if args.threads:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
    out = args.out.absolute()
    os.environ["MIM_CACHE"] = str(out / "cache")
    sets = pictures(args.data.absolute(), out / "pictures")
    code = run([job for seed in args.seeds for job in jobs_of(seed, sets, out)], args.minutes)
    print(table(out, sets, args.seeds))
    return code


if __name__ == "__main__":
    sys.exit(main())
