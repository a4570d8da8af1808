"""Page of the study: for each claim a verdict, the differences behind it, every arm's numbers, and
figures.
"""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from jobs import UNTRAINED, Study, count_images, done, numbers, table
from matplotlib import pyplot as plt
from plan import BASE, At, Claim, wanted_arms
from verdict import Difference, Word, paired, together, verdict

from mim.figure.style import DPI, TEXT, WIDTH, frame
from mim.sweep.table import markdown

FINETUNED = "val/top1"
TEMPLATE = Path(__file__).with_name("template.md")


class Row(NamedTuple):
    """Comparison behind a claim."""

    claim: Claim
    judge: str
    at: At
    difference: Difference | None
    word: Word


def by_seed(study: Study, arm: str, at: At, metric: str) -> dict[int, float]:
    """Accuracy of an arm in per cent, by seed, of the jobs that have ended."""
    jobs = (study.finetunings if metric == FINETUNED else study.compared)(arm, at)
    found = {job.seed: numbers(job.folder).get(metric) for job in jobs}
    return {seed: 100 * value for seed, value in found.items() if value is not None}


def pools_by_seed(study: Study, arm: str, pool: str) -> dict[int, float]:
    """Accuracy of a pool under a probe in per cent, by seed: of the learning rate that is best on
    average.
    """
    rows: dict[str, dict[int, float]] = {}
    for job in study.probes(arm):
        for row in table(job.folder):
            if row["pool"] == pool:
                rows.setdefault(row["setting"], {})[job.seed] = 100 * row["top1"]
    return max(rows.values(), key=lambda seeds: statistics.mean(seeds.values()), default={})


def rows_of(study: Study, claim: Claim) -> list[Row]:
    """Comparisons of a claim: judges, and what is alike; or pools under the probe."""

    def row(judge: str, at: At, better: Mapping[int, float], than: Mapping[int, float]) -> Row:
        difference = paired(better, than)
        return Row(claim, judge, at, difference, verdict(difference, claim.margin))

    if claim.arm:
        better, than = (
            pools_by_seed(study, claim.arm, pool) for pool in (claim.better, claim.than)
        )
        return [row("probe", "epochs", better, than)]
    found = []
    for at in ("epochs", "compute"):
        if at == "compute" and not (
            study.has_compute(claim.better) or study.has_compute(claim.than)
        ):
            continue
        for metric, judge in study.plan.judges.items():
            if metric == FINETUNED and at not in study.plan.size.finetune.at:
                continue
            found.append(
                row(
                    judge,
                    at,
                    *(by_seed(study, arm, at, metric) for arm in (claim.better, claim.than)),
                )
            )
    return found


def shown(difference: Difference | None) -> str:
    """Mean and interval in points."""
    if difference is None:
        return ""
    interval = f"{difference.low:+.1f} to {difference.high:+.1f}"
    return f"{difference.mean:+.1f} ({interval}), {difference.pairs} seeds"


def claims_table(study: Study) -> tuple[str, list[Row]]:
    """A line for each claim, and all comparisons."""
    lines, every = [], []
    for claim in study.plan.claims:
        rows = rows_of(study, claim)
        every += rows
        cells = {(row.judge, row.at): shown(row.difference) for row in rows}
        columns = [
            cells.get((judge, at), "")
            for at in ("epochs", "compute")
            for judge in study.plan.judges.values()
        ]
        columns.append(cells.get(("probe", "epochs"), ""))
        lines.append(
            [claim.says, claim.source, f"**{together([row.word for row in rows])}**", *columns]
        )
    judges = study.plan.judges.values()
    header = ["claim", "of", "here", *(f"{judge}, equal epochs" for judge in judges)]
    header += [*(f"{judge}, equal compute" for judge in judges), "probe"]
    return markdown(header, lines), every


def arms_table(study: Study) -> str:
    """Every arm: what it costs, its rate, and what was measured."""
    lines = []
    for arm in wanted_arms(study.plan):
        rate = study.rate(arm)
        tried = [numbers(job.folder).get("knn/top1") for job in study.tuning(arm)]
        known = [f"{100 * value:.1f}" for value in tried if value is not None]
        trials = ", ".join(known) or "not measured"
        for at in ("epochs", "compute"):
            if at == "compute" and not study.has_compute(arm):
                continue
            cells = [accuracies(by_seed(study, arm, at, metric)) for metric in study.plan.judges]
            cost = f"{study.flops[arm] / study.flops[BASE]:.2f}"
            chosen = "" if rate is None else f"{rate:g}"
            lines.append(
                [
                    arm,
                    study.plan.arms[arm].says,
                    cost,
                    at,
                    str(study.epochs(arm, at)),
                    trials,
                    chosen,
                    *cells,
                ]
            )
    rates = ", ".join(f"{rate:g}" for rate in study.plan.size.rates)
    header = [
        "arm",
        "what",
        "operations an image",
        "equal",
        "epochs",
        f"k-NN while tuning at {rates}",
        "rate",
    ]
    return markdown([*header, *study.plan.judges.values()], lines)


def accuracies(seeds: Mapping[int, float]) -> str:
    """Mean, deviation over seeds, and how many there are."""
    if not seeds:
        return "not measured"
    deviation = f" ± {statistics.stdev(seeds.values()):.1f}" if len(seeds) > 1 else ""
    return (
        f"{statistics.mean(seeds.values()):.1f}{deviation}, {len(seeds)} "
        f"seed{'s' * (len(seeds) > 1)}"
    )


def figure(rows: list[Row], out: Path) -> bool:
    """Differences with their intervals, one line a comparison -> whether there are any."""
    measured = [row for row in rows if row.difference is not None]
    if not measured:
        return False
    with mpl.rc_context({"svg.hashsalt": "study"}):
        drawn, axis = plt.subplots(
            figsize=(WIDTH, 0.9 + 0.22 * len(measured)), layout="constrained"
        )
        frame(
            axis, "Differences between arms, with 95 % intervals over seeds", "points of top-1", ""
        )
        for place, row in enumerate(reversed(measured)):
            gap = row.difference
            assert gap is not None
            axis.plot([gap.low, gap.high], [place, place], color="0.4", linewidth=1.2)
            axis.plot(gap.mean, place, "o", color="black", markersize=3.4)
        names = [f"{row.claim.says} [{row.judge}, {row.at}]" for row in reversed(measured)]
        axis.set_yticks(range(len(names)), names, fontsize=TEXT - 1)
        axis.axvline(0, color="0.7", linewidth=0.8)
        out.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(out, dpi=DPI, metadata={"Software": None})
        plt.close(drawn)
    return True


def commits(study: Study) -> list[str]:
    """Commits of the code that made what has ended."""
    files = [job.folder / "results.json" for job in study.jobs() if done(job.folder)]
    return sorted({json.loads(file.read_text()).get("commit", "unknown") for file in files})


def untrained(study: Study) -> str:
    """Accuracies of the encoder before training, on average over the seeds of the first arm."""
    words = []
    for metric, judge in study.plan.judges.items():
        if metric == FINETUNED:
            found = by_seed(study, UNTRAINED, "epochs", metric)
        else:
            found = by_seed(study, BASE, "epochs", f"{metric}_untrained")
        words.append(
            f"{judge} {statistics.mean(found.values()):.1f}" if found else f"{judge}: not measured"
        )
    return ", ".join(words)


def write_page(study: Study, name: str, out: Path) -> None:
    """Write the page and its figure beside it."""
    size = study.plan.size
    claims, rows = claims_table(study)
    picture = out.parent / "figures" / "study.png"
    drawn = figure(rows, picture)
    jobs = list(study.jobs())
    out.write_text(
        TEMPLATE.read_text().format(
            name=name,
            says=size.says,
            images=f"{count_images(size):,}",
            test=f"{10 * size.test:,}",
            epochs=size.epochs,
            seeds=", ".join(map(str, size.seeds)),
            ended=sum(done(job.folder) for job in jobs),
            known=len(jobs),
            claims=claims,
            figure=f"![Differences and their intervals](figures/{picture.name})\n\n"
            if drawn
            else "",
            base=BASE,
            arms=arms_table(study),
            rates=len(size.rates),
            tuning_seed=size.tuning_seed,
            untrained=untrained(study),
            finetune_epochs=size.finetune.epochs,
            finetune_rate=f"{size.finetune.rate:g}",
            commits=", ".join(commits(study)) or "none yet",
        )
    )
