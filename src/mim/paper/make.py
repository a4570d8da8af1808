"""Runner of a paper's tables: what is missing, each command in a process of its own, training
before what judges it.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mim.paper.progress import PaperProgress
from mim.paper.steps import Job
from mim.sweep.fresh import Task, run_all
from mim.sweep.job import OUTPUT, read_job
from mim.sweep.process import Begin, begin_new

TOP1 = (
    "val/top1",
    "probe_mae/top1",
    "probe_cae/top1",
    "probe/top1",
    "linear/top1",
    "logistic/top1",
    "knn/top1",
)
NUMBERS = (*TOP1, "val/box_ap", "val/mask_ap", "val/miou")
"""What is shown of a job when it ends."""


class Outcome(NamedTuple):
    """Outcome of the jobs of a table: those that are not done, by their labels."""

    failed: list[str]
    """Labels of jobs that ended in an error, and of those that wait for one that did."""
    unfinished: list[str]
    """Labels of jobs that stopped early, that others are running, or that wait for one of those."""


def make(
    look: Callable[[], PaperProgress],
    folder: Path,
    program: Callable[[str], list[str]],
    parallel: int,
    gpus: Sequence[str],
    devices: int,
    begin: Begin = begin_new,
) -> Outcome:
    """Run what is missing, in waves: what judges a training that is there, and the next trainings.

    So a table that is stopped has the numbers of nearly all that was trained.

    A job that was stopped goes on from its last checkpoint, because its folder is named after its
    command.

    Args:
        look: tells the progress as it is now.
        folder: where the jobs' folders are.
        program: a command that starts `train.py`, or `eval.py`.
        parallel: jobs at a time.
        gpus: names of GPUs to hand out.
        devices: of them that a job takes; -1 for all.
        begin: how the process of a job is begun.

    Raises:
        Interrupted: a signal came, and all jobs have stopped.
    """
    tried: dict[tuple, Path] = {}
    while True:
        missing = look().missing()
        ready = [job for job in missing if job.can_run and _key(job) not in tried]
        judging = [job for job in ready if job.step.after]
        wave = [*judging, *[job for job in ready if not job.step.after][:parallel]]
        if not wave:
            break
        tasks = [_task(job, folder, program, devices) for job in wave]
        tried |= {_key(job): task.folder for job, task in zip(wave, tasks, strict=True)}
        print(
            f"{len(wave)} of {len(missing)} missing jobs begin; what they say goes to {folder}",
            flush=True,
        )
        run_all(tasks, parallel, gpus, NUMBERS, begin)
    return _outcome(missing, tried)


def _key(job: Job) -> tuple:
    return job.step.key, job.seed


def _task(job: Job, folder: Path, program: Callable[[str], list[str]], devices: int) -> Task:
    name = job.step.program
    of = hashlib.sha256("\n".join([name, *job.overrides]).encode()).hexdigest()[:8]
    label = re.sub(r"[^a-z0-9]+", "_", _label(job).lower()).strip("_")[:60]
    own = (folder / f"{label}_{of}").absolute()
    more = [f"hydra.run.dir='{own}'", *(["resume=auto"] if name == "train.py" else [])]
    given = [_quoted(override) for override in job.overrides]
    return Task(own, [*program(name), *given, *more], job.overrides, _label(job), devices)


def _quoted(override: str) -> str:
    """A checkpoint's path as Hydra reads it whatever is in it."""
    key, _, value = override.partition("=")
    plain = key != "checkpoint" or re.fullmatch(r"[\w./~:+-]+", value)
    return override if plain else f"{key}='{value}'"


def _label(job: Job) -> str:
    return f"{job.step.label}, seed {job.seed}" if job.seed else job.step.label


def _outcome(missing: Sequence[Job], tried: dict[tuple, Path]) -> Outcome:
    """What is still missing, and why; said for each."""
    outcome = Outcome([], [])
    states: dict[tuple, bool] = {}
    for job in missing:  # what judges comes after what it judges
        own = tried.get(_key(job))
        if own is None:
            waits_for = (job.step.after.key, job.seed) if job.step.after else ()
            failed = states.get(waits_for, False)
            print(
                f"not run: {_label(job)}, because the training that it judges "
                f"{'failed' if failed else 'is missing'}"
            )
        else:
            ended = read_job(own, [])
            failed = ended.status == "failed"
            why = f": {ended.error}" if ended.error else ""
            print(f"{ended.status}: {_label(job)}{why}; see {own / OUTPUT}")
        states[_key(job)] = failed
        (outcome.failed if failed else outcome.unfinished).append(_label(job))
    return outcome
