"""Comparisons that claims are about, read from what jobs have left."""

import statistics
from collections.abc import Mapping
from typing import NamedTuple

from jobs import Study
from plan import At, Claim
from results import numbers, table
from verdict import Difference, Word, paired, together, verdict

FINETUNED = "val/top1"
PROBE = "probe"


class Row(NamedTuple):
    """Comparison behind a claim."""

    claim: Claim
    judge: str
    at: At
    difference: Difference | None
    word: Word


def by_seed(study: Study, arm: str, at: At, metric: str) -> dict[int, float]:
    """Accuracy of an arm in per cent, by seed, of the jobs that have ended."""
    if metric in study.plan.pools:
        return pools_by_seed(study, arm, metric)
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


def judged_at(study: Study, at: At) -> dict[str, str]:
    """Judges that the size asks about trainings of equal epochs or compute: what they call their
    number, and their names.
    """
    left_out = set()
    if at not in study.plan.size.finetune.at:
        left_out.add(FINETUNED)
    if at != "epochs":
        left_out |= set(study.plan.pools)
    return {name: judge for name, judge in study.plan.judges.items() if name not in left_out}


def rows_of(study: Study, claim: Claim) -> list[Row]:
    """Comparisons of a claim: judges, and what is alike; or pools under the probe."""

    def row(judge: str, at: At, better: Mapping[int, float], than: Mapping[int, float]) -> Row:
        difference = paired(better, than)
        return Row(claim, judge, at, difference, verdict(difference, claim.margin))

    if claim.arm:
        pools = [pools_by_seed(study, claim.arm, pool) for pool in (claim.better, claim.than)]
        return [row(PROBE, "epochs", *pools)]
    arms = (claim.better, claim.than)
    return [
        row(judge, at, *(by_seed(study, arm, at, metric) for arm in arms))
        for at in study.ways(arms)
        for metric, judge in judged_at(study, at).items()
    ]


def by_its_judges(rows: list[Row]) -> str:
    """Verdict of the judges that the paper has, and which these are; nothing where there are
    none.
    """
    judged = rows[0].claim.judged or []
    words = [row.word for row in rows if row.judge in judged]
    return f"{together(words)} ({', '.join(judged)})" if words else ""
