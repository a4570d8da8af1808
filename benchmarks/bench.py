"""All comparisons that a CPU can make, one after another, as one page: `make bench`.

    python benchmarks/bench.py --data <folder with cifar10_images and imagenet_sample_1000>
    python benchmarks/bench.py --data <...> --minutes 15            # fewer rounds, in that time
    python benchmarks/bench.py --quick --out /tmp/page.md --parts step judge  # does it run

Each part is a script of this folder in a process of its own, whose table becomes a section of
benchmarks/results/<date>_<machine>.md and whose main number becomes a cell of
benchmarks/results/history.md. A part that fails or takes too long leaves a line, and the next one
runs. Contestants of a part take turns within one process, so that other work on the machine cancels
in ratios; the load of the machine before and after each part stands beside it. With `--minutes`
each part has fewer rounds and at most twice an even share of the time that is left, and what did
not fit says so.
"""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import NamedTuple

import torch

from mim.launch.provenance import commit

HERE = Path(__file__).parent
RESULTS = HERE / "results"
HISTORY = """# History of `make bench`

The main number of each part; pages beside this one have the rest.

"""


class Part(NamedTuple):
    """Part of the page: a script, and what is told of its table.

    Attributes:
        name: by which it is chosen.
        title: of its section.
        command: script and arguments; {data} is the folder of pictures.
        quick: the same at toy size.
        column: of the main number.
        rows: what the rows of it have in them, as a pattern.
        aim: what it should be, in words.
    """

    name: str
    title: str
    command: str
    quick: str
    column: str
    rows: str
    aim: str


TOY = "--encoder pico --patch 8 --image 32 --batch 2 --decoder 32x1x2 --rounds 2"
PARTS = (
    Part(
        "step",
        "A step of MAE, ViT-S/16",
        "step.py --model mae --encoder small --rounds 5 --compile off",
        f"step.py --model mae {TOY} --precision 32",
        "time over ours (quartiles)",
        "bf16.*(transformers|lightly)",
        "bf16: at least 1.8 for each peer",
    ),
    Part(
        "step_tiny",
        "A step of MAE, ViT-Ti/4",
        "step.py --model mae --encoder tiny --patch 4 --image 32 --batch 128 --decoder 192x4x3 "
        "--rounds 5",
        f"step.py --model mae {TOY} --precision bf16",
        "time over ours (quartiles)",
        "bf16.*(transformers|lightly)",
        "bf16: at least 2.6 for each peer",
    ),
    Part(
        "simmim",
        "A step of SimMIM on index sets beside a dense one, ViT-Ti/8",
        "step.py --model simmim --encoder tiny --patch 8 --image 64 --batch 32 --precision bf16 "
        "--rounds 7",
        f"step.py --model simmim {TOY} --precision 32",
        "time over ours (quartiles)",
        "dense",
        "above 1",
    ),
    Part(
        "views",
        "Steps of MoCo v3, MSN, DINO and iBOT beside lightly's modules",
        "views.py --rounds 7",
        "views.py --encoder 32x1x2 --image 32 --patch 4 --batch 2 --small 2 --hidden 32 "
        "--prototypes 64 --rounds 2 --precision 32",
        "time over ours (quartiles)",
        "bf16.*lightly",
        "bf16: at least 1.3",
    ),
    Part(
        "whole_grid",
        "Steps of data2vec and BootMAE beside the whole grid",
        "whole_grid.py --rounds 7",
        "whole_grid.py --encoder 32x6x2 --image 32 --batch 2 --rounds 2 --precision 32",
        "time over ours (quartiles)",
        "whole grid",
        "at least 1",
    ),
    Part(
        "finetune",
        "A step of fine-tuning beside timm's way",
        "finetune.py --encoder vit_small --batch 8 --precision bf16 32 --rounds 5",
        "finetune.py --encoder vit_pico --image 32 --patch 8 --batch 4 --rounds 1 --precision 32",
        "time over ours (quartiles)",
        "timm",
        "at least 1",
    ),
    Part(
        "judge",
        "Judges on cached features beside scikit-learn",
        "judge.py --images 10000 --held-out 2000",
        "judge.py --images 200 --held-out 50 --width 16 --rounds 1",
        "time over ours",
        "scikit",
        "k-NN at least 1; the linear judges differ",
    ),
    Part(
        "probe",
        "Twelve probe heads beside one",
        "probe.py {data}/cifar10_images --encoder vit_tiny --images 1000 --held-out 500 --rounds 3",
        "probe.py {data}/cifar10_images --encoder vit_pico --images 8 --held-out 4 --epochs 1 "
        "--rounds 1",
        "twelve heads cost",
        "one head",
        "at most 1.1",
    ),
    Part(
        "emae",
        "EMAE's parts beside separate steps",
        "emae.py --encoder tiny --image 64 --patch 8 --batch 32 --parts 4 --rounds 5",
        "emae.py --encoder pico --image 32 --patch 8 --batch 2 --parts 4 --decoder 32x1x2 --rounds "
        "1",
        "median (quartiles)",
        "parts over MAE step",
        "a pass under one of MAE with as many images: below 1",
    ),
    Part(
        "maskers",
        "Maskers beside random masking, and the share that salience takes",
        "maskers.py --encoder vit_small --batch 4 --rounds 5",
        "maskers.py --encoder vit_pico --image 32 --batch 2 --rounds 1",
        "masker alone, share of a step",
        r"^\| sbm",
        "below 1 %",
    ),
    Part(
        "input",
        "Pictures a core beside the official recipe, short side 256",
        "input.py {data}/imagenet_sample_1000 --pictures 100 --runs 5",
        "input.py {data}/imagenet_sample_1000 --pictures 2 --image-size 32 --batch-size 2 --runs 1",
        "times the official",
        "mim",
        "at least 3.5",
    ),
    Part(
        "start",
        "Processor seconds until the first step of a training",
        "start.py first",
        "start.py first",
        "processor seconds",
        "together",
        "none",
    ),
)
ROUNDS = "3"
"""Of each part, where time is short."""


class Ran(NamedTuple):
    """What became of a part."""

    part: Part
    command: str
    text: str
    seconds: float
    load: tuple[float, float]
    """Average runnable processes of the last minute, before and after."""


def command_of(part: Part, quick: bool, short: bool) -> str:
    """Script and arguments, {data} left as it is; a short one has fewer rounds."""
    if quick or not short:
        return part.quick if quick else part.command
    return re.sub(r"--(rounds|runs) \d+", rf"--\1 {ROUNDS}", part.command)


def run(part: Part, command: str, data: Path, limit: float) -> Ran:
    """Run a part; a failure is its text, and so is that there was no time."""
    if limit <= 0:
        load = os.getloadavg()[0]
        return Ran(part, command, "Not run: the time was over.", 0.0, (load, load))
    script, *arguments = command.format(data=data).split()
    before, start = os.getloadavg()[0], time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / script), *arguments],
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
        said = done.stderr.strip().splitlines() or ["nothing"]
        text = done.stdout if done.returncode == 0 else f"Failed: {said[-1]}"
    except subprocess.TimeoutExpired as late:
        told = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        text = f"{told}\nIts time of {limit:.0f} s was over."
    seconds = time.monotonic() - start
    return Ran(part, command, text.strip(), seconds, (before, os.getloadavg()[0]))


def numbers(text: str, column: str, rows: str) -> list[float]:
    """First number of a column, of the table rows that a pattern is found in."""
    found: list[float] = []
    place = None
    for line in text.splitlines():
        row = cells(line) if line.startswith("|") else []
        if column in row:
            place = row.index(column)
        elif place is not None and len(row) > place and re.search(rows, line):
            number = re.match(r"[-+0-9.,]+", row[place])
            found += [float(number[0].replace(",", ""))] if number else []
    return found


def headline(ran: Ran) -> str:
    """Smallest and largest main number of a part; what there is where there is none."""
    found = numbers(ran.text, ran.part.column, ran.part.rows) if ran.part.column else []
    if not found:
        words = {"Failed:": "failed", "Not run:": "not run", "was over": "too slow"}
        return next((word for sign, word in words.items() if sign in ran.text), "see page")
    low, high = min(found), max(found)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def machine() -> str:
    """Processor and cores, for people."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.*)", info.read_text()) if info.exists() else None
    return f"{os.cpu_count()} cores of {named[1] if named else platform.machine()}"


def page(ran: list[Ran], today: str) -> str:
    """The page."""
    loads = [load for each in ran for load in each.load]
    parts = []
    for each in ran:
        script = each.command.replace("{data}", "<data>")
        parts.append(
            f"## {each.part.title}\n\n    python benchmarks/{script}\n\nAim: {each.part.aim}. It "
            f"took {each.seconds:.0f} s; load "
            f"{each.load[0]:.1f} before and {each.load[1]:.1f} after.\n\n{each.text}\n"
        )
    return (
        f"# {today}: {machine()}\n\nPython {platform.python_version()}, torch {torch.__version__}, "
        f"commit {commit()}, "
        f"{torch.get_num_threads()} thread(s). Load of the machine {statistics.median(loads):.1f} "
        "on average: where that is more "
        "than its cores, times are of a busy machine, and only ratios mean anything.\n\n"
        + "\n".join(parts)
    )


def remember(ran: list[Ran], today: str, file: Path) -> None:
    """Add a line to the table of history, whose columns are the parts; earlier lines keep theirs
    where there are other parts by now.
    """
    names = ["when", "machine", "commit", *(part.name for part in PARTS)]
    lines = file.read_text().splitlines() if file.exists() else []
    header, _, *earlier = [cells(line) for line in lines if line.startswith("|")] or [names, []]
    now = {each.part.name: headline(each) for each in ran}
    now |= {"when": today, "machine": machine(), "commit": commit()}
    rows = [*(dict(zip(header, row, strict=True)) for row in earlier), now]
    table = [names, ["---"] * 3 + ["--:"] * len(PARTS)]
    table += [[row.get(name, "") for name in names] for row in rows]
    file.write_text(HISTORY + "".join(f"| {' | '.join(line)} |\n" for line in table))


def cells(line: str) -> list[str]:
    """Cells of a row of a table."""
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def unused(file: Path) -> Path:
    """The same name with a number, where it is taken."""
    names = (file.with_stem(f"{file.stem}_{number}") for number in count(2))
    return file if not file.exists() else next(name for name in names if not name.exists())


def main(argv: list[str] | None = None) -> int:
    """Write the page; exit code 1 where a part failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        help="with cifar10_images/, imagenet_sample_1000/",
    )
    parser.add_argument(
        "--parts", nargs="+", choices=[part.name for part in PARTS], default=[p.name for p in PARTS]
    )
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    parser.add_argument("--limit", type=float, default=900, help="seconds of a part")
    parser.add_argument(
        "--out",
        type=Path,
        help="page; null for benchmarks/results/<date>_<machine>.md and history.md",
    )
    parser.add_argument("--minutes", type=float, help="of all parts together")
    args = parser.parse_args(argv)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    ran, end = [], time.monotonic() + 60 * (args.minutes or float("inf"))
    chosen = [part for part in PARTS if part.name in args.parts]
    for number, part in enumerate(chosen):
        left = end - time.monotonic()
        limit = min(args.limit, left, 2 * left / (len(chosen) - number))
        command = command_of(part, args.quick, args.minutes is not None)
        ran.append(run(part, command, args.data.absolute(), limit))
        print(f"{part.name}: {headline(ran[-1])}, {ran[-1].seconds:.0f} s", flush=True)
    name = re.sub(r"[^a-z0-9]+", "_", machine().lower()).strip("_")
    out = args.out or unused(RESULTS / f"{today}_{name}.md")
    out.write_text(page(ran, today))
    if args.out is None:
        remember(ran, today, RESULTS / "history.md")
    print(out)
    return int(any("Failed:" in each.text for each in ran))


if __name__ == "__main__":
    sys.exit(main())
