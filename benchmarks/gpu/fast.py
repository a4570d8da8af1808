"""How fast a training step is on one GPU: against the official MAE's own way, transformers and
lightly; and what maskers cost.

    python benchmarks/gpu --parts fast --out DIR      # it sets the paths that this script needs

All contestants of a case get one architecture, images, mask ratio, loss and optimiser, and take
turns in one process in an order drawn anew each round. Images/s are of the median step; ratios are
taken within a round. MFU is the matrix products and attention that our step needs (counted, forward
and backward) over the time, against the card's peak in bf16: the same count for all. `--warm`
compiles what the cases ask for and leaves it in torch's cache for the measurement.
"""

import argparse
import gc
import random
import statistics
import time
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from contestant import Contestant, Way, ratio, take_turns
from masked import MASKERS, Masked
from methods import METHODS, Method
from official import Official
from report import Report
from simmim import Dense, OnSets
from sizes import Sizes
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mim.masker.partition.fixed_ratio import FixedRatio

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 FLOP/s, by the vendor's data sheets."""
DECODER = (512, 8, 16)
BASE = Sizes(224, 16, (768, 12, 12), DECODER)
LARGE = Sizes(224, 16, (1024, 24, 16), DECODER)
HUGE = Sizes(224, 14, (1280, 32, 16), DECODER)
COMPILED = ("random", "sbam", "amt, 40 % thrown", "emae")
TOY = Sizes(32, 8, (48, 2, 3), (32, 1, 2))


class Case(NamedTuple):
    """Contestants at one size; the first is what others are compared with."""

    title: str
    sizes: Sizes
    batch: int
    ways: list[Way]
    rounds: int = 8
    steps: int = 3


def cases(toy: bool) -> list[Case]:
    """Most telling first."""
    base, large, huge = (TOY, TOY, TOY) if toy else (BASE, LARGE, HUGE)

    def ours(sizes: Sizes, batch: int, compiled: str) -> Way:
        return Way(
            named("mim", compiled), partial(Masked, sizes, "random", batch), compiled=compiled
        )

    def official(sizes: Sizes) -> Way:
        half = torch.float32 if toy else torch.float16  # a CPU has no layer norm under float16
        return Way("official way", partial(Official, sizes), half, fused=False)

    def peer(name: str, compiled: str) -> Way:
        return Way(named(name, compiled), partial(_peer, base, name), compiled=compiled)

    def masked(name: str, batch: int, times: int = 1, compiled: str = "") -> Way:
        label = f"{times} times the images, {name}" if times > 1 else name
        build = partial(Masked, base, name, batch, times)
        return Way(named(label, compiled), build, compiled=compiled)

    def method(name: str, batch: int) -> Way:
        return Way(name, partial(Method, base, name, batch))

    def simmim(name: str, kind: type, compiled: str) -> Way:
        return Way(
            named(name, compiled),
            partial(kind, base, FixedRatio(0.6, "mask_up")),
            compiled=compiled,
        )

    def mae(name: str, sizes: Sizes, batch: int, others: list[Way], **turns: int) -> Case:
        ways = [ours(sizes, batch, how) for how in ("", "blocks", "whole", "graphs")]
        return Case(f"MAE, {name}", sizes, batch, [official(sizes), *ways, *others], **turns)

    both = ("", "whole")
    peers = [peer(name, how) for name in ("transformers", "lightly") for how in both]
    contestants = (("dense", Dense), ("mim", OnSets))
    return [
        mae("ViT-B/16", base, 4 if toy else 512, peers, rounds=6, steps=2),
        mae("ViT-L/16", large, 4 if toy else 128, [], rounds=5, steps=2),
        Case(
            "Maskers of MAE, ViT-B/16",
            base,
            small := 4 if toy else 128,
            [masked(name, small) for name in MASKERS],
        ),
        Case(
            "SimMIM, ViT-B/16",
            base,
            small,
            [simmim(*pair, how) for pair in contestants for how in both],
        ),
        mae("ViT-H/14", huge, 4 if toy else 64, [], rounds=4, steps=2),
        Case(
            "EMAE, ViT-B/16",
            base,
            few := 4 if toy else 32,
            [masked("random", few, 4), masked("emae", few)],
        ),
        Case(
            "Compiled maskers of MAE, ViT-B/16",
            base,
            small,
            [masked(name, small, compiled="whole") for name in COMPILED],
            rounds=6,
        ),
        Case(
            "Other methods beside MAE, ViT-B/16",
            base,
            few,
            [masked("random", few), *(method(name, few) for name in METHODS)],
            rounds=5,
        ),
    ]


def named(name: str, compiled: str) -> str:
    """A contestant's name, with how it is compiled."""
    how = {
        "": "",
        "blocks": ", blocks compiled",
        "whole": ", compiled",
        "graphs": ", compiled, CUDA graphs",
    }
    return name + how[compiled]


def _peer(sizes: Sizes, name: str) -> nn.Module:
    """A peer's model; what is not installed is missed only here."""
    import peers

    return {"transformers": peers.Transformers, "lightly": peers.Lightly}[name](sizes)


def flops(case: Case, image: torch.Tensor) -> float:
    """Of one step of ours: matrix products, convolutions and attention, forward and backward."""
    model = Masked(case.sizes, "random", case.batch).to(image.device)
    with (
        FlopCounterMode(display=False) as counter,
        torch.autocast(image.device.type, torch.bfloat16),
    ):
        model(image).backward()
    return counter.get_total_flops()


def images(case: Case, device: str) -> torch.Tensor:
    """Standard normal pixels (B, 3, H, W)."""
    torch.manual_seed(0)
    return torch.randn(case.batch, 3, case.sizes.image, case.sizes.image, device=device)


def build(case: Case, image: torch.Tensor, backend: str, report: Report) -> Iterator[Contestant]:
    """Every contestant that can be built; of one that cannot a note says why."""
    for way in case.ways:
        try:
            yield Contestant(way, image, backend)
        except Exception as error:  # a peer that fails must not stop the rest
            traceback.print_exc()
            report.note(
                f"{case.title}, {way.name}: {type(error).__name__}: "
                f"{str(error).splitlines()[0][:200]}"
            )


class Turn(NamedTuple):
    """Files by which several of these scripts compile side by side and measure one after
    another.
    """

    built: Path | None
    """Written when the contestants are there."""
    begin: Path | None
    """Waited for before they are timed."""

    def wait(self) -> None:
        """Say that all is built, and wait until it may be timed."""
        if self.built:
            self.built.touch()
        while self.begin and not self.begin.exists():
            time.sleep(0.1)


def measure(case: Case, device: str, backend: str, report: Report, turn: Turn) -> list[Contestant]:
    """One table; the contestants that took part."""
    image = images(case, device)
    kind = torch.cuda.get_device_name() if device == "cuda" else ""
    peak = next((rate for name, rate in PEAK.items() if name in kind), 0.0)
    contestants = list(build(case, image, backend, report))
    if not contestants:
        return []
    is_mae = case.title.startswith("MAE")
    needed = flops(case, image) if is_mae else 0.0
    turn.wait()
    seconds = take_turns(contestants, case.rounds, case.steps)
    first = contestants[0].way.name
    columns = [
        "way",
        "images/s",
        "ms a step",
        f"times as fast as {first}",
        "MFU, %",
        "peak GiB",
        "parameters",
        "first loss",
        "first step, s",
    ]
    report.table(f"{case.title}, {case.sizes.image} pixels, {case.batch} images a step", columns)
    for c in contestants:
        spent = seconds[c.way.name]
        median = statistics.median(spent)
        mfu: str | float = round(100 * needed / median / peak, 1) if needed and peak else "-"
        speed = case.batch / median, 1e3 * median, ratio(seconds[first], spent), mfu
        report.row(
            c.way.name,
            *speed,
            round(c.peak(), 2),
            c.parameters,
            round(c.first_loss, 4),
            round(c.first_step, 1),
        )
    if needed:
        report.note(
            f"{case.title}: {needed / case.batch / 1e9:.1f} GFLOP an image, forward and backward."
        )
    return contestants


def profile(contestant: Contestant, report: Report) -> None:
    """Where the time of a step goes, by kind of kernel."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as found:
        wall = contestant.seconds(3)
    kernels = [
        e
        for e in found.key_averages()
        if e.self_device_time_total > 0 and "cuda" in str(e.device_type).lower()
    ]
    total = sum(e.self_device_time_total for e in kernels)
    report.table(
        f"Kernels of a step: {contestant.way.name}",
        ["kernel", "calls a step", "ms a step", "share, %"],
    )
    name = contestant.way.name
    report.note(
        f"{name}: kernels run for {total / 3e3:.1f} ms of a step of {1e3 * wall:.1f} ms under the "
        "profiler."
    )
    for e in sorted(kernels, key=lambda e: -e.self_device_time_total)[:22]:
        spent = e.self_device_time_total
        report.row(
            e.key[:110].replace("|", "/"), e.count / 3, spent / 3e3, round(100 * spent / total, 1)
        )


def product(report: Report) -> None:
    """What this card reaches in one large matrix product."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize()
    rate = 20 * 2 * 8192**3 / (time.perf_counter() - start)
    report.note(f"A matrix product of 8192 in bf16 on random numbers: {rate / 1e12:.0f} TFLOP/s.")


def main() -> None:
    """Measure the cases for which there is time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=4.5)
    parser.add_argument("--size", choices=["full", "toy"], default="full")
    parser.add_argument("--data", help="not used")
    parser.add_argument(
        "--cases", type=int, nargs="+", help="numbers of the cases; all in their order"
    )
    parser.add_argument("--ways", nargs="+", help="only these contestants, by name")
    parser.add_argument("--warm", action="store_true", help="only compile these cases")
    parser.add_argument(
        "--built", type=Path, help="a file to write when a case is built and compiled"
    )
    parser.add_argument("--begin", type=Path, help="a file to wait for before a case is timed")
    given = parser.parse_args()
    start, toy = time.monotonic(), given.size == "toy"
    device, backend = ("cpu", "aot_eager") if toy else ("cuda", "inductor")
    torch.set_float32_matmul_precision("high")
    random.seed(0)
    chosen = cases(toy)
    if given.ways:
        chosen = [
            case._replace(ways=[way for way in case.ways if way.name in given.ways])
            for case in chosen
        ]
    numbers = given.cases or range(len(chosen))
    if given.warm:
        report = Report(given.out / f"warm_{'_'.join(map(str, numbers))}.json")
        for case in (chosen[number] for number in numbers):
            only = case._replace(ways=[way for way in case.ways if way.compiled])
            for c in build(only, images(only, device), backend, report):
                report.note(f"{case.title}, {c.way.name}: {c.first_step:.0f} s")
        return
    report = Report(given.out / "fast.json")
    if device == "cuda" and not given.begin:
        product(report)
    for number in numbers:
        case, left = chosen[number], 60 * given.minutes - (time.monotonic() - start)
        if left < (0 if toy else 20):
            report.note(f"{case.title}: not measured, the time was over.")
            continue
        contestants = measure(case, device, backend, report, Turn(given.built, given.begin))
        if number == 0 and device == "cuda":
            for c in contestants:
                if c.way.name in ("mim", "mim, compiled"):
                    profile(c, report)
        del contestants
        gc.collect()
        torch._dynamo.reset()
        if device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
