"""What pre-training is worth on held-out scattered digits: frozen tokens, segmentation and
detection, each beside random weights.

    python benchmarks/dense.py --seeds 0 1 2         # 10 minutes of one core for each seed
    python benchmarks/dense.py --table               # of what has ended by now
    python benchmarks/dense.py --seeds 0 --scenes 64 --epochs 1 --patch 16  # does it run

Each seed pre-trains an encoder on the training scenes, without their labels. It and an encoder of
random weights are then trained with labels, and judged on held-out scenes, by the same commands.
What has ended is not run again, and a training that was stopped goes on: --folder keeps both.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from scipy.stats import t

import mim
from mim.launch.errors import Interrupted
from mim.launch.provenance import commit, hardware
from mim.plain import read_json

FROZEN = ("dense_knn", "dense_linear")
TASKS = {"segment": ["head=linear"], "detect": ["warmup_steps=null"]}
METRICS = {
    "dense_knn": ["dense_knn/miou"],
    "dense_linear": ["dense_linear/miou"],
    "segment": ["val/miou"],
    "detect": ["val/box_ap", "val/mask_ap"],
}
WEIGHTS = ("random", "pretrained")


class Job(NamedTuple):
    """Training or evaluation that leaves results in a folder.

    Attributes:
        name: of the folder: what is done, with which weights and which seed.
        settings: its command line.
        judges: name of an evaluation of `checkpoint`; "" for a training.
        checkpoint: name of the job whose weights are judged.
    """

    name: str
    settings: list[str]
    judges: str = ""
    checkpoint: str = ""


def job_name(work: str, weights: str, seed: int) -> str:
    """Folder of a job."""
    return f"{work}_{weights}_{seed}"


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    """All jobs, in the order that they are run in."""
    scenes = ["data=scattered_digits", f"data.train_scenes={args.scenes}"]
    scenes += [f"encoder.patch_size={args.patch}", "trainer=cpu"]
    scenes += ["callback=[checkpoint,interruption,results]"]
    for seed in args.seeds:
        shared = [*scenes, f"seed={seed}", "data.batch_size=16", "loss.target.normalise=false"]
        untrained = ["epochs=1", "warmup_epochs=0", "lr=1e-12", "trainer.limit_train_batches=1"]
        yield Job(job_name("start", "random", seed), shared + untrained)
        epochs = args.pretrain_epochs
        trained = [f"epochs={epochs}", f"warmup_epochs={epochs / 10}", "lr=1.5e-3"]
        yield Job(job_name("start", "pretrained", seed), shared + trained)
        for evaluation in FROZEN:
            for weights in WEIGHTS:
                start = job_name("start", weights, seed)
                yield Job(job_name(evaluation, weights, seed), [f"seed={seed}"], evaluation, start)
        for task in args.tasks:
            shared = [*scenes, f"seed={seed}", f"task={task}", "data.batch_size=8", "lr=1e-3"]
            shared += [*TASKS[task], f"epochs={args.epochs}", "warmup_epochs=0.5"]
            shared += [f"+trainer.check_val_every_n_epoch={args.epochs}"]
            for weights in WEIGHTS:
                start = (args.folder / job_name("start", weights, seed)).resolve()
                yield Job(job_name(task, weights, seed), [*shared, f"checkpoint={start}"])


def run(job: Job, folder: Path) -> None:
    """Run a job, unless it has ended before."""
    run_folder = (folder / job.name).resolve()
    if measured(folder, job.name):
        return
    before = time.process_time()
    if job.judges:
        given = [*job.settings, f"paths.run={run_folder}"]
        mim.evaluate((folder / job.checkpoint).resolve(), job.judges, *given)
    else:
        mim.train(mim.compose(*job.settings, "resume=auto", f"paths.run={run_folder}"))
    print(f"{job.name}: {time.process_time() - before:.0f} processor seconds", flush=True)


def measured(folder: Path, name: str) -> dict[str, float]:
    """Metrics of a job by name; none where it has not ended."""
    results = folder / name / "results.json"
    found = read_json(results) if results.exists() else {"status": "not begun"}
    if "status" in found:  # a training's; an evaluation writes its row when it has ended
        return found["metrics"] if found["status"] == "finished" else {}
    return {name: value for name, value in found.items() if isinstance(value, float)}


def table(folder: Path) -> str:
    """Mean and standard deviation of the seeds that both weights have ended, and what pre-training
    adds: mean over the seeds, with Student's 95 % interval of paired differences.
    """
    lines = ["| | seeds | random weights | pre-trained | pre-training adds (95 % interval) |"]
    lines += ["|---|---|--:|--:|--:|"]
    for work, metrics in METRICS.items():
        for metric in metrics:
            pairs = {
                seed: [measured(folder, job_name(work, each, seed)).get(metric) for each in WEIGHTS]
                for seed in sorted(int(path.name.split("_")[-1]) for path in starts(folder))
            }
            both = {seed: (a, b) for seed, (a, b) in pairs.items() if None not in (a, b)}
            if both:
                random, trained = zip(*both.values(), strict=True)
                added = interval([b - a for a, b in both.values()])
                seeds = " ".join(map(str, both))
                row = (f"{work} {metric.split('/')[1]}", seeds, spread(random), spread(trained))
                lines.append(f"| {' | '.join(row)} | {added} |")
    return "\n".join(lines)


def starts(folder: Path) -> Iterator[Path]:
    """Folders of pre-trainings."""
    return folder.glob("start_pretrained_*")


def spread(values: tuple[float, ...]) -> str:
    """Mean and standard deviation."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def interval(differences: list[float]) -> str:
    """Mean of paired differences and Student's 95 % interval of it; no interval of a single one."""
    mean, count = statistics.mean(differences), len(differences)
    if count == 1:
        return f"{mean:+.3f} (one seed)"
    half = t.ppf(0.975, count - 1) * statistics.stdev(differences) / count**0.5
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="*", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--patch", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=4, help="of segmentation and detection")
    parser.add_argument("--pretrain-epochs", type=int, default=15)
    parser.add_argument("--table", action="store_true", help="run nothing")
    runs = Path(os.environ.get("MIM_RUNS", "runs"))
    parser.add_argument("--folder", type=Path, default=runs / "dense")
    args = parser.parse_args(argv)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        for job in [] if args.table else jobs(args):
            run(job, args.folder)
    except Interrupted:
        print("stopped; the same command goes on", flush=True)
    print(f"\n{commit()}, {hardware(torch.device('cpu'), 1)}\n\n{table(args.folder)}")


if __name__ == "__main__":
    main()
