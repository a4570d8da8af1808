"""Do the papers' orderings hold? One command runs what is missing of the study, and writes
docs/study.md.

    python benchmarks/study --data <folder of CIFAR-10's pictures> --size small --minutes 60

    python benchmarks/study --plan benchmarks/study/comparison.yaml --data <folder> --size small
    python benchmarks/study --plan benchmarks/study/budget.yaml --data <folder> --size small

What was stopped goes on from where it was; a job that has ended is not run again, nor one whose
numbers `--kept` names: docs/numbers/ has those of the pages. `--page` writes the page of what is
there. The size whole is meant for twenty minutes an arm on two cores, small
takes half a minute of one core; a plan says what each is. comparison.yaml has more
methods, of EMAE's comparison, and writes docs/comparison_study.md. budget.yaml has the settings of
experiment=budget/..., each beside MAE at equal compute, and writes docs/budget_study.md.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from jobs import Job, Study
from kept import keep, lay_out
from operations import operations
from page import numbers_beside, write_page
from plan import PLAN, read_plan, wanted_arms
from results import done
from subset import subset

from mim.launch.errors import Interrupted
from mim.launch.signals import listen
from mim.sweep.fresh import Task, run_all
from mim.sweep.process import how_to_begin

ROOT = Path(__file__).parents[2]


def main(argv: list[str] | None = None) -> int:
    """Run what is missing; exit code 0 where nothing is left, 1 where a job failed, 85 where time
    was over.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="CIFAR-10's pictures: train/<class>/, test/<class>/",
    )
    parser.add_argument("--size", default="small", help="of plan.yaml")
    parser.add_argument("--folder", type=Path, help="of jobs; null: runs/<name of the page>")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="begin nothing after so many"
    )
    parser.add_argument("--at-once", type=int, default=1, help="jobs")
    parser.add_argument("--kept", type=Path, help="numbers of jobs, as beside the page")
    parser.add_argument("--page", action="store_true", help="run nothing")
    parser.add_argument("--out", type=Path, help="page; null: the plan's, in docs/")
    parser.add_argument("--plan", type=Path, default=PLAN, help="arms, claims and sizes")
    args = parser.parse_args(argv)
    plan = read_plan(args.size, args.plan.resolve())
    out = args.out or ROOT / "docs" / plan.page
    jobs = args.folder or Path(os.environ.get("MIM_RUNS", "runs")) / Path(plan.page).stem
    folder = (jobs / args.size).absolute()
    if args.kept:
        lay_out(args.kept, folder)
    data = subset(args.data.absolute(), plan.size, folder / "pictures")
    flops = operations(plan, wanted_arms(plan), data, folder / "operations.json")
    study = Study(plan, folder, data, flops)
    try:
        failed = (
            set() if args.page else run(study, time.monotonic() + 60 * args.minutes, args.at_once)
        )
    finally:
        write_page(study, args.size, out)
        keep(study, numbers_beside(out))
    left = study.missing()
    print(
        f"{out}: {len(left)} jobs are left that can be run now, {len(failed)} failed",
        flush=True,
    )
    return 1 if failed else 85 if left else 0


def run(study: Study, end: float, at_once: int) -> set[Path]:
    """Run jobs in order until none is left or time is over -> folders of those that failed."""
    listen()
    failed: set[Path] = set()
    begin = how_to_begin(None)
    while time.monotonic() < end:
        wave = [job for job in study.missing() if job.folder not in failed][:at_once]
        if not wave:
            break
        try:
            run_all([task(job) for job in wave], at_once, [], list(study.plan.judges), begin)
        except Interrupted:
            break
        failed |= {job.folder for job in wave if not done(job.folder)}
    return failed


def task(job: Job) -> Task:
    """A job as its process is begun; a training goes on where it was."""
    program = {"train": "mim.program.train", "eval": "mim.program.evaluate"}[job.program]
    more = [f"hydra.run.dir='{job.folder}'", *(["resume=auto"] if job.program == "train" else [])]
    return Task(
        job.folder,
        [sys.executable, "-m", program, *job.overrides, *more],
        job.overrides,
        job.label,
        0,
    )


if __name__ == "__main__":
    sys.exit(main())
