"""Page of the study: for each claim a verdict, the differences behind it, every arm's numbers, a
figure, and what made them.
"""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path

from jobs import UNTRAINED, Study, count_images
from picture import figure
from plan import BASE, PLAN, wanted_arms
from results import done
from rows import FINETUNED, Row, by_its_judges, by_seed, judged_at, rows_of
from verdict import Difference, together

from mim.sweep.table import markdown

TEMPLATE = Path(__file__).with_name("template.md")
POOLS = """Pools, on the trainings of equal epochs:

{table}
- Each pool has four learning rates of its probe. The one that is best on average over seeds counts.
  It is chosen on the test images, which flatters all pools a little.

"""


def shown(difference: Difference | None, seeds: int) -> str:
    """Mean and half the interval in points; how many seeds, where some are missing."""
    if difference is None:
        return "not measured"
    half = (difference.high - difference.low) / 2
    few = f", {difference.pairs} of {seeds} seeds" if difference.pairs < seeds else ""
    return f"{difference.mean:+.1f} ± {half:.1f}{few}"


def claims_table(claims: list[list[Row]]) -> str:
    """Verdicts: of all judges, and of the paper's."""
    lines = [
        [
            rows[0].claim.says,
            rows[0].claim.source,
            f"**{together([row.word for row in rows])}**",
            by_its_judges(rows),
        ]
        for rows in claims
    ]
    return markdown(["claim", "of", "here", "by the paper's judges alone"], lines)


def differences_table(study: Study, claims: list[list[Row]]) -> str:
    """Differences between arms, by what is alike."""
    judges, lines = list(study.plan.judges.values()), []
    for rows in claims:
        claim, seeds = rows[0].claim, len(study.plan.size.seeds)
        if claim.arm:
            continue
        for at in study.ways((claim.better, claim.than)):
            cells = {row.judge: shown(row.difference, seeds) for row in rows if row.at == at}
            lines.append([claim.says, at, *(cells.get(judge, "") for judge in judges)])
    return markdown(["claim", "equal", *judges], lines)


def pools_table(study: Study, claims: list[list[Row]]) -> str:
    """Differences between pools of one arm, and what is to be known of them; nothing where no claim
    is about pools.
    """
    seeds = len(study.plan.size.seeds)
    about = [row for rows in claims for row in rows if row.claim.arm]
    lines = [[row.claim.says, shown(row.difference, seeds)] for row in about]
    return POOLS.format(table=markdown(["claim", "probe"], lines)) if lines else ""


def arms_table(study: Study) -> str:
    """Every arm: what it is and costs, and its rate."""
    lines = []
    for arm in wanted_arms(study.plan):
        rate = study.rate(arm)
        known = [f"{100 * value:.1f}" for value in study.tried(arm).values()]
        lines.append(
            [
                arm,
                study.plan.arms[arm].says,
                f"{study.flops[arm] / study.flops[BASE]:.2f}",
                ", ".join(known) or "not measured",
                "" if rate is None else f"{rate:g}",
            ]
        )
    rates = ", ".join(f"{rate:g}" for rate in study.plan.size.rates)
    return markdown(["arm", "what", "operations", f"k-NN at rates {rates}", "rate"], lines)


def numbers_table(study: Study) -> str:
    """Accuracies of every arm."""
    judges, seeds = study.plan.judges, len(study.plan.size.seeds)
    lines = []
    for arm in wanted_arms(study.plan):
        for at in study.ways([arm]):
            asked = judged_at(study, at)
            cells = [
                accuracies(by_seed(study, arm, at, metric), seeds) if metric in asked else ""
                for metric in judges
            ]
            lines.append([arm, at, str(study.epochs(arm, at)), *cells])
    return markdown(["arm", "equal", "epochs", *judges.values()], lines)


def accuracies(found: Mapping[int, float], seeds: int) -> str:
    """Mean and deviation over seeds, and how many there are where some are missing."""
    if not found:
        return "not measured"
    deviation = f" ± {statistics.stdev(found.values()):.1f}" if len(found) > 1 else ""
    few = f", {len(found)} of {seeds} seeds" if len(found) < seeds else ""
    return f"{statistics.mean(found.values()):.1f}{deviation}{few}"


def untrained(study: Study) -> str:
    """Accuracies of the encoder before training, on average over the seeds of the first arm."""
    words = []
    for metric, judge in study.plan.judges.items():
        if metric in study.plan.pools:
            continue
        if metric == FINETUNED:
            found = by_seed(study, UNTRAINED, study.plan.size.at[0], metric)
        else:
            found = by_seed(study, BASE, "epochs", f"{metric}_untrained")
        words.append(
            f"{judge} {statistics.mean(found.values()):.1f}" if found else f"{judge}: not measured"
        )
    return ", ".join(words)


def made(study: Study) -> str:
    """Commits, hardware and hours of the jobs that have ended, one line for each pair of commit and
    hardware.
    """
    files = [job.folder / "results.json" for job in study.jobs() if done(job.folder)]
    spent: dict[tuple[str, str, str], list[float]] = {}
    for file in dict.fromkeys(files):
        said = json.loads(file.read_text())
        torch = said.get("versions", {}).get("torch", "unknown")
        by = (said.get("commit", "unknown"), said.get("hardware", "unknown"), torch)
        spent.setdefault(by, []).append(said.get("wall_seconds", 0.0))
    lines = [
        [commit, hardware, torch, str(len(seconds)), f"{sum(seconds) / 3600:.2f}"]
        for (commit, hardware, torch), seconds in sorted(spent.items())
    ]
    return markdown(["commit", "hardware", "torch", "jobs", "hours"], lines)


def numbers_beside(page: Path) -> Path:
    """File of the numbers of the jobs that a page is written from."""
    return page.parent / "numbers" / f"{page.stem}.jsonl"


def write_page(study: Study, name: str, out: Path) -> None:
    """Write the page and its figure beside it."""
    size = study.plan.size
    claims = [rows_of(study, claim) for claim in study.plan.claims]
    picture = out.parent / "figures" / f"{out.stem}.png"
    judges = list(study.plan.judges.values())
    drawn = figure([row for rows in claims for row in rows], judges, picture)
    jobs = {job.folder: job for job in study.jobs()}
    out.write_text(
        TEMPLATE.read_text().format(
            title=study.plan.title,
            about=study.plan.about,
            plan=study.plan.file.name,
            options=""
            if study.plan.file == PLAN
            else f" --plan benchmarks/study/{study.plan.file.name}",
            name=name,
            says=size.says,
            images=f"{count_images(size):,}",
            test=f"{10 * size.test:,}",
            epochs=size.epochs,
            seeds=", ".join(map(str, size.seeds)),
            ended=sum(done(folder) for folder in jobs),
            known=len(jobs),
            claims=claims_table(claims),
            figure=f"![Differences and their intervals](figures/{picture.name})"
            if drawn
            else "No figure yet: nothing has been measured on two seeds.",
            differences=differences_table(study, claims),
            pools=pools_table(study, claims),
            base=BASE,
            arms=arms_table(study),
            numbers=numbers_table(study),
            rates=len(size.rates),
            tuning=f"seed{'s' * (len(size.tuning_seeds) > 1)} "
            + " and ".join(map(str, size.tuning_seeds)),
            untrained=untrained(study),
            finetune_epochs=size.finetune.epochs,
            finetune_rate=f"{size.finetune.rate:g}",
            finetune_at=" and of ".join(f"equal {at}" for at in size.finetune.at),
            made=made(study),
            kept=numbers_beside(out).name,
        )
    )
